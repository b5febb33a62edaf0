"""Demonstrations of the scripted controllers, made on first use and kept as a Minari data set in the user's cache."""

import os
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from minari.data_collector.episode_buffer import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage
from platformdirs import user_cache_dir

from rql.data.demonstrators import CONTROLLERS, Controller
from rql.errors import ConfigError, RQLError

RECIPE = 1
"""Counted up with every change of the demonstrations, so that no old set is taken for a new one."""
BLOCK = 10
"""Steps that the controller keeps control, or leaves it to chance."""
WORST = 0.5
"""The chance of a random block in the least skilful episode; the best has none."""


def demo_path(env_id: str, episodes: int, seed: int) -> Path:
    """The folder of the demonstrations, made now if it is not there.

    Raises:
        ConfigError: if no controller is known for the environment.
        RQLError: if the cache cannot be written.
    """
    if env_id not in CONTROLLERS:
        known = ", ".join(CONTROLLERS)
        raise ConfigError("dataset", "demo", f"{env_id} has no scripted controller ({known} have); see dataset=minari")
    cache = Path(os.environ.get("RQL_CACHE_DIR") or user_cache_dir("rql")) / "demo"
    path = cache / f"{env_id}-{episodes}-episodes-seed-{seed}-recipe-{RECIPE}"
    if not path.exists():
        try:
            _write(path, env_id, episodes, seed)
        except OSError as error:
            raise RQLError(f"demonstrations cannot be kept in {cache}: {error}; RQL_CACHE_DIR names another") from error
    return path / "data"


def _write(path: Path, env_id: str, episodes: int, seed: int) -> None:
    """Make the set in a folder of its own and rename it, so that what bears the name is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as folder, gymnasium.make(env_id) as env:
        part = Path(folder) / path.name
        part.mkdir()
        storage = MinariStorage.new(
            part / "data",
            observation_space=env.observation_space,
            action_space=env.action_space,
            env_spec=env.spec,
        )
        storage.update_metadata(
            {
                "dataset_id": f"rql-demo-{env_id}",
                "algorithm_name": "scripted controller of uneven skill",
                "minari_version": version("minari"),
            }
        )
        storage.update_episodes(_collect(env, CONTROLLERS[env_id], episodes, seed))
        try:
            part.rename(path)
        except OSError:
            if not path.exists():  # otherwise another process was first, with the same content
                raise
            shutil.rmtree(part)


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
