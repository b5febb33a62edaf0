"""Batches of 256 transitions a second on one core, Hopper shapes, a million transitions: RQL, d3rlpy, TorchRL.

    python benchmarks/sampling.py [--peers]

The peers need: pip install --no-deps -r benchmarks/peers.txt
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from rql.data.batch import Draw
from rql.data.columns import Field, fields_of, lay_out
from rql.data.dataset import Dataset
from rql.data.replay import ReplayBuffer
from rql.data.sampling import Mixture
from rql.data.transitions import Transitions

COUNT, BATCH, EPISODE = 1_000_000, 256, 1000
SECONDS, ROUNDS = 1.0, 5
CPU = torch.device("cpu")


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
    """The online buffer, the data set, and half of each; over one step and over three."""
    steps = {
        "obs": data["observations"],
        "action": data["actions"],
        "reward": data["rewards"],
        "next_obs": np.roll(data["observations"], -1, axis=0),
        "terminated": data["terminals"],
        "truncated": ~data["terminals"] & False,
    }
    lengths = np.full(COUNT // EPISODE, EPISODE)
    columns = lay_out(steps, lengths)
    del columns["next_obs"]
    dataset = Dataset(Transitions("benchmark", columns, lengths), CPU)
    samplers: dict[str, Callable[[], Any]] = {}
    for n_step in (1, 3):
        replay, draws = filled(steps, n_step), torch.Generator().manual_seed(0)
        draw, what = Draw(n_step, 0.99), f"{n_step} step{'s' if n_step > 1 else ''}"
        half = Mixture(dataset, replay, 0.5)
        samplers[f"RQL, {what}"] = partial(replay.sample, BATCH, draws, draw)
        samplers[f"RQL, {what}, half offline"] = partial(half.sample, BATCH, draws, draw)
        samplers[f"RQL, {what}, offline"] = partial(dataset.sample, BATCH, draws, draw)
    return samplers


def filled(steps: dict[str, Any], n_step: int) -> ReplayBuffer:
    """A buffer that is full of these steps, of one environment."""
    columns = {name: steps[name] for name in ("obs", "action", "reward", "terminated")}
    fields: dict[str, Field] = fields_of(columns)
    replay = ReplayBuffer(fields, COUNT, 1, n_step, CPU)
    begins = np.arange(COUNT) % EPISODE == 0
    last_obs = steps["next_obs"][begins.nonzero()[0] - 1]
    saved = {"appended": COUNT, "running": np.zeros(1, np.bool_), "obs": steps["next_obs"][-1:]}
    replay.restore(columns | {"begins": begins, "last_obs": last_obs}, saved)
    return replay


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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", action="store_true", help="measure TorchRL and d3rlpy too")
    torch.set_num_threads(1)
    data = arrays()
    samplers = rql(data)
    if parser.parse_args().peers:
        samplers |= torchrl(data) | d3rlpy(data)
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
