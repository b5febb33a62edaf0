"""What checkpoints cost a run: hopper, a replay buffer of a million transitions, the default interval.

    python benchmarks/checkpoints.py

The run trains for some seconds to find its pace. Then the buffer gets as many new transitions as the run would make
between two checkpoints at that pace, and a checkpoint is written; the share is its time of the interval.
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_dir

from rql.agents.build import build_agent
from rql.agents.statistics import Statistics
from rql.config.compose import load, register_schemas
from rql.data.batch import RewardTransform
from rql.data.columns import Field
from rql.data.replay import EnvStep
from rql.envs.make import inspect_env
from rql.envs.training import TrainingEnvs
from rql.runs.checkpoints import MINUTE, Checkpoints
from rql.training.online import OnlineTrainer

CONFIGURATION = Path(__file__).resolve().parents[1] / "conf"
CAPACITY, EPISODE = 1_000_000, 1000
PACE_SECONDS, ROUNDS = 20.0, 7
CPU = torch.device("cpu")
OVERRIDES = ["experiment=hopper_scratch", f"replay.capacity={CAPACITY}", f"online.env_steps={4 * CAPACITY}"]


def seconds_of(stage: OnlineTrainer, store: Checkpoints) -> float:
    """The time of one checkpoint."""
    began = time.perf_counter()
    store.save(stage, False, {})
    return time.perf_counter() - began


def steps_per_second(stage: OnlineTrainer) -> float:
    """Environment steps, each with its update."""
    began, before = time.perf_counter(), stage.step
    while time.perf_counter() - began < PACE_SECONDS:
        stage.advance()
    return (stage.step - before) / (time.perf_counter() - began)


def history(stage: OnlineTrainer, count: int, rng: np.random.Generator) -> tuple[dict[str, Any], dict[str, Any]]:
    """What restores a replay buffer of so many transitions in episodes of a thousand steps."""
    begins = np.arange(count) % EPISODE == 0
    steps = {name: random_column(field, count, rng) for name, field in stage.replay.fields.items()}
    obs = stage.replay.fields["obs"]
    steps |= {"begins": begins, "last_obs": random_column(obs, int(begins.sum()), rng)}
    return steps, {"appended": count, "running": np.zeros(1, np.bool_), "obs": random_column(obs, 1, rng)}


def random_steps(stage: OnlineTrainer, count: int, rng: np.random.Generator) -> Iterator[EnvStep]:
    """Steps of one environment in episodes of a thousand steps."""
    fields = stage.replay.fields
    for number in range(count):
        columns = {name: random_column(field, 1, rng) for name, field in fields.items()}
        yield EnvStep(
            columns, {"obs": random_column(fields["obs"], 1, rng)}, np.array([number % EPISODE == EPISODE - 1])
        )


def random_column(field: Field, count: int, rng: np.random.Generator) -> Any:
    """Random numbers in the form of a field."""
    return rng.random((count, *field.shape)).astype(field.dtype)


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    register_schemas()
    with initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
        config = load(compose("config", overrides=OVERRIDES))
    config.online.warmup_fraction = 0.0
    spaces, env = inspect_env(config.env)
    env.close()
    agent = build_agent(config, spaces, CPU)
    state = agent.init(Statistics.unknown(spaces.obs_dim, CPU))
    rng = np.random.default_rng(0)
    with closing(TrainingEnvs(config.env, 0)) as envs, tempfile.TemporaryDirectory() as folder:
        stage = OnlineTrainer(agent, agent.stages[-1], state, None, envs, spaces, RewardTransform(), None, config)
        stage.replay.restore(*history(stage, CAPACITY, rng))
        pace = steps_per_second(stage)
        interval = MINUTE * config.checkpoint.minutes
        store = Checkpoints(Path(folder), config)
        first = seconds_of(stage, store)
        times = []
        for _ in range(ROUNDS):
            for step in random_steps(stage, round(pace * interval), rng):
                stage.replay.append(step)
            stage.step += round(pace * interval)
            times.append(seconds_of(stage, store))
        began = time.perf_counter()
        assert Checkpoints(Path(folder), config).newest() is not None
        reading = time.perf_counter() - began
    median = float(np.median(times))
    print(f"pace: {pace:.0f} environment steps a second, {round(pace * interval):,} in {interval:.0f} s")
    print(f"a checkpoint: {1e3 * median:.0f} ms, median of {ROUNDS} ({1e3 * min(times):.0f} to {1e3 * max(times):.0f})")
    print(f"share of a run's time: {median / interval:.3%} (the slowest: {max(times) / interval:.3%})")
    print(f"a first checkpoint of all {CAPACITY:,} transitions: {first:.2f} s; reading one back: {reading:.2f} s")


if __name__ == "__main__":
    main()
