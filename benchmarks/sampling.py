"""Batches of 256 transitions a second on one core, Hopper shapes, a million transitions: RQL, d3rlpy, TorchRL.

pip install --no-deps -r benchmarks/peers.txt
python benchmarks/sampling.py
"""

import time
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import torch

from rql.data.replay import PackedDataset, ReplayBuffer
from rql.data.rows import RowLayout
from rql.data.transitions import Transitions
from rql.envs.spaces import describe

COUNT, BATCH, EPISODE = 1_000_000, 256, 1000
SECONDS, ROUNDS = 1.0, 5


def arrays() -> dict[str, Any]:
    """A million transitions in episodes of a thousand steps."""
    rng = np.random.default_rng(0)
    ends = np.arange(COUNT) % EPISODE == EPISODE - 1
    return {
        "observations": rng.normal(size=(COUNT, 11)).astype(np.float32),
        "actions": rng.uniform(-1, 1, (COUNT, 3)).astype(np.float32),
        "rewards": rng.normal(size=COUNT).astype(np.float32),
        "terminals": ends,
    }


def rql(data: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """The data set alone, and half and half with the online buffer."""
    with gymnasium.make("Hopper-v5") as env:
        layout = RowLayout.of(describe("Hopper-v5", env.observation_space, env.action_space))
    following = np.roll(data["observations"], -1, axis=0)
    rows = layout.pack(data["observations"], data["actions"], data["rewards"], following, data["terminals"])
    starts = np.arange(0, COUNT, EPISODE)
    cpu = torch.device("cpu")
    packed = PackedDataset(Transitions("x", layout, rows, ~data["terminals"], starts), cpu)
    replay = ReplayBuffer(COUNT, layout, cpu, packed)
    replay.append(torch.from_numpy(rows))
    draws = torch.Generator().manual_seed(0)
    return {
        "RQL": lambda: replay.sample(BATCH, 0.0, draws),
        "RQL, half offline": lambda: replay.sample(BATCH, 0.5, draws),
    }


def d3rlpy(data: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """Its data set of transitions."""
    from d3rlpy.dataset import MDPDataset

    dataset = MDPDataset(**data)
    return {"d3rlpy": lambda: dataset.sample_transition_batch(BATCH)}


def torchrl(data: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """Its replay buffer over contiguous tensors."""
    from tensordict import TensorDict
    from torchrl.data import LazyTensorStorage, TensorDictReplayBuffer

    following = np.roll(data["observations"], -1, axis=0)
    tensors = {key: torch.from_numpy(array) for key, array in (data | {"next_observations": following}).items()}
    buffer = TensorDictReplayBuffer(storage=LazyTensorStorage(COUNT), batch_size=BATCH)
    buffer.extend(TensorDict(tensors, batch_size=[COUNT]))
    return {"TorchRL": buffer.sample}


def rate(sample: Callable[[], Any]) -> float:
    """Batches a second."""
    started, batches = time.perf_counter(), 0
    while time.perf_counter() - started < SECONDS:
        for _ in range(20):
            sample()
        batches += 20
    return batches / (time.perf_counter() - started)


def main() -> None:
    """Take turns, and print the median and the range of each."""
    torch.set_num_threads(1)
    data = arrays()
    samplers = rql(data) | torchrl(data) | d3rlpy(data)
    rounds = [[rate(sample) for sample in samplers.values()] for _ in range(ROUNDS)]
    rates = np.array(rounds)
    ours = np.median(rates[:, 0])
    print(f"| | batches of {BATCH} a second, median ({ROUNDS} rounds) | RQL is faster by |")
    print("|---|---|---|")
    for title, column in zip(samplers, rates.T, strict=True):
        middle = np.median(column)
        print(f"| {title} | {middle:,.0f} ({column.min():,.0f} to {column.max():,.0f}) | {ours / middle:.1f} |")


if __name__ == "__main__":
    main()
