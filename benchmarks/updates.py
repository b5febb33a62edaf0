"""Updates a second on one core, Hopper shapes, batches of 256: RQL eager and compiled, d3rlpy and stable-baselines3.

    pip install 'rql[sb3]' && pip install --no-deps -r benchmarks/d3rlpy.txt
    python benchmarks/updates.py [--only bc sac] [--sizes 2x64] [--differences]

All take turns in one process on one core; what counts is processor time. Batches lie ready, but for stable-baselines3,
whose method draws its own. The networks have no layer normalisation, as the peers' have none. The last lines are what
the processor makes of products of two 1024 × 1024 matrices. `--differences` prints how far the metrics of compiled
updates are from those of eager ones in the place of rates.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces as gym_spaces
from hydra import compose, initialize_config_dir
from torch.utils import _pytree as pytree

from rql.agents.build import build_agent
from rql.config.choices import Compile
from rql.config.compose import load, register_schemas
from rql.data.batch import Batch
from rql.envs.spaces import ContinuousSpec, ObservationSpec, Spaces
from rql.nn.normalizer import Normalizer
from rql.training.execute import Executor

OBS, DIMS, BATCH = 11, 3, 256
SECONDS, ROUNDS = 1.0, 5
STEPS = (1, 10, 50, 200)
"""Updates after which the metrics of eager and compiled ones are compared."""
SIZES = {"2x64": [64, 64], "2x256": [256, 256], "3x256": [256, 256, 256]}
LAST_BIT = torch.finfo(torch.float32).eps
CPU = torch.device("cpu")
PLAIN = ["env=hopper", "network.actor.layer_norm=false", "network.critic.layer_norm=false", "compile=off"]
SAC_LIKE = ["composition=amortized", "target=policy", "target.num_samples=2", "beta=constant"]
METHODS = {
    "bc": ("bc", ["agent=bc"]),
    "sac": ("offline", [*SAC_LIKE, "cql=off"]),
    "cql": ("offline", [*SAC_LIKE, "cql.alpha=1.0", "cql.num_samples=15"]),
    "iql": ("offline", ["agent=iql"]),
    "td3_bc": ("offline", ["agent=td3_bc"]),
}
"""The stage whose updates are timed, and the overrides."""
Step = Callable[[], Any]


def arrays() -> dict[str, Any]:
    """A batch of transitions."""
    rng = np.random.default_rng(0)
    return {
        "obs": rng.normal(size=(BATCH, OBS)).astype(np.float32),
        "action": rng.uniform(-0.9, 0.9, (BATCH, DIMS)).astype(np.float32),
        "reward": rng.normal(size=BATCH).astype(np.float32),
        "next_obs": rng.normal(size=(BATCH, OBS)).astype(np.float32),
        "terminated": (rng.random(BATCH) < 0.01).astype(np.float32),
    }


def rql(method: str, hidden: list[int], compile: Compile, factor: float = 1.0) -> Step:
    """One update of ours, its noise included; all numbers of the first state are multiplied by a factor."""
    name, overrides = METHODS[method]
    sizes = [f"network.{part}.hidden={hidden}" for part in ("actor", "critic")]
    with initialize_config_dir(str(Path(__file__).resolve().parents[1] / "conf"), version_base="1.3"):
        config = load(compose("config", overrides=[*PLAIN, *sizes, *overrides]))
    low = -np.ones(DIMS, np.float32)
    observed = ObservationSpec(gym_spaces.Box(-np.inf, np.inf, (OBS,), np.float32), OBS)
    torch.manual_seed(0)
    agent = build_agent(config, Spaces(observed, ContinuousSpec(low, -low, (DIMS,))), CPU)
    state = agent.init(Normalizer.identity(OBS, CPU))
    for stage in agent.stages:
        state = stage.enter(state)
        if stage.info.name == name:
            break
    state = pytree.tree_map(lambda leaf: leaf * factor, state)
    hparams, draws = agent.hparams(name, 1), torch.Generator().manual_seed(0)
    data = {key: torch.from_numpy(value) for key, value in arrays().items()}
    transition = data["obs"], data["action"], data["reward"], data["next_obs"], data["terminated"]
    batch = Batch(*transition, torch.ones(BATCH))
    executor, here = Executor(stage.cycle, compile, 0), [0, state]

    def step() -> Any:
        noise = stage.noise(BATCH, hparams, draws)
        here[1], metrics = executor.update(here[0], here[1], batch, noise, hparams)
        here[0] += 1
        return metrics

    return step


def d3rlpy(method: str, hidden: list[int]) -> Step:
    """One update of theirs."""
    from d3rlpy.algos import BCConfig, CQLConfig, IQLConfig, SACConfig, TD3PlusBCConfig
    from d3rlpy.models import VectorEncoderFactory
    from d3rlpy.torch_utility import TorchMiniBatch

    encoder = VectorEncoderFactory(hidden)
    both = {"actor_encoder_factory": encoder, "critic_encoder_factory": encoder, "batch_size": BATCH}
    config: Any = {
        "bc": lambda: BCConfig(encoder_factory=encoder, batch_size=BATCH, policy_type="stochastic"),
        "sac": lambda: SACConfig(**both),
        "cql": lambda: CQLConfig(**both, n_action_samples=10),
        "iql": lambda: IQLConfig(**both, value_encoder_factory=encoder),
        "td3_bc": lambda: TD3PlusBCConfig(**both),
    }[method]()
    algorithm = config.create(device="cpu")
    algorithm.create_impl((OBS,), DIMS)
    data = {key: torch.from_numpy(value) for key, value in arrays().items()}
    column = (BATCH, 1)
    batch = TorchMiniBatch(
        observations=data["obs"],
        actions=data["action"],
        rewards=data["reward"].view(column),
        next_observations=data["next_obs"],
        next_actions=data["action"],
        returns_to_go=torch.zeros(column),
        terminals=data["terminated"].view(column),
        intervals=torch.ones(column),
        device="cpu",
    )
    count = [0]

    def step() -> None:
        algorithm.impl.inner_update(batch, count[0])
        count[0] += 1

    return step


def sb3(hidden: list[int]) -> Step:
    """One update of the SAC of stable-baselines3."""
    from stable_baselines3 import SAC
    from stable_baselines3.common.logger import configure

    model = SAC("MlpPolicy", gymnasium.make("Hopper-v5"), policy_kwargs={"net_arch": hidden}, batch_size=BATCH)
    model.set_logger(configure(tempfile.mkdtemp(), []))
    data = arrays()
    assert model.replay_buffer is not None
    for _ in range(4):
        for i in range(BATCH):
            row = {key: value[i : i + 1] for key, value in data.items()}
            ends = row["terminated"]
            model.replay_buffer.add(row["obs"], row["next_obs"], row["action"], row["reward"], ends, [{}])
    return lambda: model.train(gradient_steps=1, batch_size=BATCH)


def contestants(method: str, hidden: list[int]) -> dict[str, Step]:
    """An update of each, by name."""
    found = {"RQL eager": rql(method, hidden, Compile.off), "RQL compiled": rql(method, hidden, Compile.on)}
    found["d3rlpy"] = d3rlpy(method, hidden)
    if method == "sac":
        found["stable-baselines3"] = sb3(hidden)
    return found


def rate(step: Step) -> float:
    """Updates a second of processor time."""
    started, updates = time.process_time(), 0
    while time.process_time() - started < SECONDS:
        step()
        updates += 1
    return updates / (time.process_time() - started)


def rows(methods: list[str], sizes: list[str]) -> Iterator[str]:
    """The rows of the table, each when it is measured."""
    for size in sizes:
        for method in methods:
            steps = contestants(method, SIZES[size])
            for step in steps.values():
                for _ in range(3):  # compiles, warms caches
                    step()
            rates = np.array([[rate(step) for step in steps.values()] for _ in range(ROUNDS)])
            middle = dict(zip(steps, np.median(rates, axis=0), strict=True))
            best = max(value for name, value in middle.items() if not name.startswith("RQL"))
            for name, column in zip(steps, rates.T, strict=True):
                spread = f"{middle[name]:,.0f} ({column.min():,.0f} to {column.max():,.0f})"
                yield f"| {size} | {method} | {name} | {spread} | {middle[name] / best:.2f} |"


def differences(methods: list[str], sizes: list[str]) -> Iterator[str]:
    """Rows with the largest relative difference so far of a metric between eager updates and others: compiled ones, and
    eager ones that begin with numbers of which the last bit differs.
    """
    for size in sizes:
        for method in methods:
            others = {"compiled": (Compile.on, 1.0), "last bit": (Compile.off, 1.0 + LAST_BIT)}
            for name, (how, factor) in others.items():
                eager, other = rql(method, SIZES[size], Compile.off), rql(method, SIZES[size], how, factor)
                largest, found = 0.0, []
                for number in range(1, STEPS[-1] + 1):
                    largest = max(largest, relative_difference(eager(), other()))
                    found += [f"{largest:.0e}"] * (number in STEPS)
                yield f"| {size} | {method} | {name} | {' | '.join(found)} |"


def relative_difference(one: dict[str, Any], other: dict[str, Any]) -> float:
    """The largest of any metric."""
    return max(abs(float(other[name] / value) - 1.0) for name, value in one.items() if value)


def products(dtype: torch.dtype) -> float:
    """GFLOP/s of processor time in matrix products."""
    left, right = (torch.randn(1024, 1024).to(dtype) for _ in range(2))
    return rate(lambda: left @ right) * 2 * 1024**3 / 1e9


def main() -> None:
    """Take turns, and print the median and the range of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--differences", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    register_schemas()
    if options.differences:
        print(f"| network | update | | after {' | '.join(map(str, STEPS))} |")
        print("|---|---|---|" + "---|" * len(STEPS))
        for row in differences(options.only, options.sizes):
            print(row, flush=True)
        return
    print(f"| network | update | | a second, median ({ROUNDS} rounds) | of the best peer's rate |")
    print("|---|---|---|---|---|")
    for row in rows(options.only, options.sizes):
        print(row, flush=True)
    for dtype in (torch.float32, torch.bfloat16):
        print(f"{dtype}: {products(dtype):.1f} GFLOP/s")


if __name__ == "__main__":
    main()
