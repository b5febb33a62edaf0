"""Demonstrations of the scripted controllers: a Minari data set like any other, made on first use."""

import zlib
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from minari.data_collector.episode_buffer import EpisodeBuffer

from rql.config.data import DemoDatasetConfig, EnvConfig
from rql.data.demonstrators import CONTROLLERS, Controller
from rql.data.sources.minari import MinariSource, dataset_folder
from rql.data.writing import EPISODE_OVERHEAD, describe_set, write_set
from rql.envs.make import FROM_DATASET, make_env
from rql.utils.errors import ConfigError, DataError

RECIPE = 1
"""Counted up with every change of the demonstrations, so that no old set is taken for a new one."""
BLOCK = 10
"""Steps that the controller keeps control, or leaves it to chance."""
WORST = 0.5
"""The chance of a random block in the least skilful episode; the best has none."""


def open_demo(config: DemoDatasetConfig, env_config: EnvConfig) -> MinariSource:
    """The data set of `dataset=demo`.

    Raises:
        ConfigError: if no controller is known for the environment.
        RQLError: if it cannot be written.
    """
    if env_config.id == FROM_DATASET:
        raise ConfigError("env.id", env_config.id, "an environment, for dataset=demo makes its data in it")
    return MinariSource(*demo_dataset(env_config, config.episodes, config.seed))


def demo_dataset(config: EnvConfig, episodes: int, seed: int) -> tuple[str, Path]:
    """The Minari id and the folder of the demonstrations, made now if they are not there.

    Raises:
        ConfigError: if no controller is known for the environment.
        RQLError: if they cannot be written.
    """
    if config.id not in CONTROLLERS:
        allowed = f"{config.id} has no scripted controller, {', '.join(CONTROLLERS)} have; see dataset=minari"
        raise ConfigError("dataset", "demo", allowed)
    id = demo_id(config, episodes, seed)
    path = dataset_folder(id)
    if not path.exists():
        _write(id, config, episodes, seed)
    return id, path / "data"


def demo_id(config: EnvConfig, episodes: int, seed: int) -> str:
    """The id says all that the demonstrations depend on."""
    task = config.id.rpartition("-v")[0].lower()
    changed = f"-{zlib.crc32(repr(sorted(config.kwargs.items())).encode()):08x}" if config.kwargs else ""
    return f"rql/{task}{changed}/demo-{episodes}-episodes-seed-{seed}-v{RECIPE}"


def _write(id: str, config: EnvConfig, episodes: int, seed: int) -> None:
    with make_env(config) as env:
        metadata = {
            "algorithm_name": "scripted controller of uneven skill (rql.data.demonstrators)",
            "description": f"{episodes} episodes, seed {seed}; blocks of steps are left to random actions",
        }
        made = _collect(env, CONTROLLERS[config.id], episodes, seed)
        size = sum(np.asarray(one.observations).nbytes + EPISODE_OVERHEAD for one in made)
        try:
            write_set(dataset_folder(id), describe_set(id, env, metadata), made, size)
        except DataError:
            if not dataset_folder(id).exists():  # otherwise another process was first, with the same content
                raise


def _collect(env: gymnasium.Env[Any, Any], controller: Controller, episodes: int, seed: int) -> list[EpisodeBuffer]:
    rng = np.random.default_rng(seed)
    env.action_space.seed(seed)
    return [
        _episode(env, controller, chance, rng, seed=int(rng.integers(2**31)), index=index)
        for index, chance in enumerate(rng.uniform(0.0, WORST, episodes))
    ]


def _episode(
    env: gymnasium.Env[Any, Any], controller: Controller, chance: float, rng: np.random.Generator, seed: int, index: int
) -> EpisodeBuffer:
    """One episode in which each block of steps is left to random actions with probability `chance`."""
    obs, _ = env.reset(seed=seed)
    observations, actions = [obs], list[Any]()
    rewards, terminations, truncations = list[float](), list[bool](), list[bool]()
    random_block = False
    while not (terminations and (terminations[-1] or truncations[-1])):
        if len(rewards) % BLOCK == 0:
            random_block = rng.random() < chance
        action = env.action_space.sample() if random_block else controller(obs)
        obs, reward, terminated, truncated, _ = env.step(action)
        observations.append(obs)
        actions.append(action)
        rewards.append(float(reward))
        terminations.append(terminated)
        truncations.append(truncated)
    return EpisodeBuffer(
        id=index,
        seed=seed,
        observations=np.array(observations),
        actions=np.array(actions),
        rewards=rewards,
        terminations=terminations,
        truncations=truncations,
    )
