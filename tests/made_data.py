"""Data for tests: arrays, files, episodes and transitions."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from conftest import box_spaces, episode, transitions_of, write_minari
from gymnasium import spaces as gym_spaces
from minari.data_collector.episode_buffer import EpisodeBuffer

from rql.config.data import (
    DatasetConfig,
    EnvConfig,
    MinariDatasetConfig,
)
from rql.data.batch import Batch
from rql.data.load import load_datasets
from rql.data.transitions import Transitions
from rql.envs.make import inspect_env
from rql.envs.spaces import ContinuousSpec, DiscreteSpec, Spaces

BOX = gym_spaces.Box(-np.inf, np.inf, (3,), np.float32)
PENDULUM = EnvConfig(id="Pendulum-v1")
TORQUE = gym_spaces.Box(-2.0, 2.0, (1,), np.float32)
Arrays = dict[str, Any]


def torques(steps: int, value: float = 1.0) -> Any:
    return np.full((steps, 1), value, dtype=np.float32)


def load(config: DatasetConfig, env_config: EnvConfig = PENDULUM) -> tuple[Transitions, Transitions]:
    spaces, env = inspect_env(env_config)
    with env:
        datasets = load_datasets(config, env_config, spaces, env)
    assert datasets is not None
    return datasets


def read(root: Path, *episodes: Any, action: Any = TORQUE, obs: Any = BOX) -> Transitions:
    write_minari(root, "test/set-v0", list(episodes), obs, action)
    return load(MinariDatasetConfig(id="test/set-v0"))[0]


def flat(episodes: list[tuple[int, bool]], **changes: Any) -> Arrays:
    """D4RL's arrays of episodes (steps, terminated or timed out), with the observations that follow."""
    rng, total = np.random.default_rng(0), sum(steps for steps, _ in episodes)
    ends = np.cumsum([steps for steps, _ in episodes]) - 1
    terminals, timeouts = np.zeros(total, np.bool_), np.zeros(total, np.bool_)
    for end, (_, terminated) in zip(ends, episodes, strict=True):
        (terminals if terminated else timeouts)[end] = True
    observations = rng.normal(size=(total, 3)).astype(np.float32)
    following = np.roll(observations, -1, axis=0)
    following[ends] = rng.normal(size=(len(ends), 3))
    arrays = {
        "observations": observations,
        "actions": rng.uniform(-2, 2, (total, 1)).astype(np.float32),
        "rewards": rng.normal(size=total).astype(np.float32),
        "terminals": terminals,
        "timeouts": timeouts,
        "next_observations": following,
    }
    merged = arrays | changes
    return {key: value for key, value in merged.items() if value is not None}


def write_hdf5(path: Path, arrays: Arrays, **options: Any) -> Path:
    with h5py.File(path, "w") as file:
        for key, array in arrays.items():
            file.create_dataset(key, data=array, **options)
        file.create_dataset("infos/qpos", data=np.zeros((3, 2)))
        file.create_dataset("metadata/algorithm", data="SAC")
    return path


def write_npz(path: Path, arrays: Arrays) -> Path:
    np.savez_compressed(path, **arrays)
    return path


EPISODES = [(5, False), (4, True), (1, True), (6, False)]


def as_minari(root: Path, arrays: Arrays) -> None:
    ends = np.flatnonzero(arrays["terminals"] | arrays["timeouts"]) + 1
    episodes = []
    for start, stop in zip([0, *ends[:-1]], ends, strict=True):
        steps = slice(start, stop)
        observations = np.concatenate([arrays["observations"][steps], arrays["next_observations"][stop - 1 : stop]])
        flags = {"terminations": arrays["terminals"][steps], "truncations": arrays["timeouts"][steps]}
        rewards = arrays["rewards"][steps]
        actions = arrays["actions"][steps]
        episodes.append(episode(stop - start, 3, actions, observations=observations, rewards=rewards, **flags))
    write_minari(root, "test/same-v0", episodes, BOX, TORQUE)


CPU = torch.device("cpu")
UNIT = ContinuousSpec(-np.ones(1), np.ones(1), (1,))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbered(count: int, discrete: bool = False, starts: Any = (0,), first: int = 0) -> Transitions:
    """Transitions whose every field says which one it is; each odd one is terminated, each even one truncated."""
    n = np.arange(first, first + count, dtype=np.float32)
    action = (n % 3).astype(np.int64) if discrete else n[:, None] / 1000
    spaces = box_spaces(2, DiscreteSpec(3, 0) if discrete else UNIT)
    obs = np.stack([n, n], axis=1)
    flags = n % 2 == 1
    return transitions_of(spaces, obs, action, n, obs + 0.5, flags, ~flags, starts)


LENGTHS, ENDED = [5, 1, 2, 7, 3], [True, False, True, False, True]


def wandering(lengths: list[int], terminated: list[bool], seed: int) -> Transitions:
    """Episodes of a random walk, each ended by termination or truncation."""
    rng, total, ends = np.random.default_rng(seed), sum(lengths), np.cumsum(lengths) - 1
    obs = rng.normal(size=(total, 2)).astype(np.float32)
    following = np.roll(obs, -1, axis=0)
    following[ends] = rng.normal(size=(len(ends), 2))
    flags = np.zeros((2, total), np.bool_)
    flags[[0 if ended else 1 for ended in terminated], ends] = True
    action = rng.uniform(-1, 1, (total, 1))
    return transitions_of(
        box_spaces(2, UNIT), obs, action, rng.normal(size=total), following, flags[0], flags[1], ends - lengths + 1
    )


def brute_force(data: Transitions, n: int, discount: float) -> np.ndarray[Any, Any]:
    """The transitions over n steps, one at a time: obs, action, reward, next_obs, terminated, steps."""
    rows = []
    for start, end in zip(data.starts, data.ends, strict=True):
        for t in range(start, end):
            last = min(t + n, end) - 1
            reward = sum(discount ** (i - t) * float(data.reward[i]) for i in range(t, last + 1))
            final = [reward, *data.next_obs[last], data.terminated[last], last - t + 1]
            rows.append([*data.obs[t], *data.action[t], *final])
    return np.array(rows, dtype=np.float32)


def as_rows(batch: Batch) -> np.ndarray[Any, Any]:
    """(B, …): the same of a batch, each transition once."""
    found = torch.cat([part.reshape(len(part), -1) for part in batch[:6]], dim=1).numpy()
    return np.unique(found, axis=0)


def assert_same_transitions(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> None:
    assert np.allclose(one[np.lexsort(one.T)], other[np.lexsort(other.T)], atol=1e-6)


def some_episodes(count: int) -> list[EpisodeBuffer]:
    rng = np.random.default_rng(0)
    return [
        EpisodeBuffer(
            seed=index,
            observations={"a": rng.normal(size=(4, 2)), "b": (rng.normal(size=(4, 1)), np.arange(4))},
            actions=rng.normal(size=(3, 1)),
            rewards=[0.1, 0.2, 0.3],
            terminations=[False, False, True],
            truncations=[False] * 3,
        )
        for index in range(count)
    ]


def transitions(spaces: Spaces, count: int = 64) -> Transitions:
    rng = np.random.default_rng(0)
    spec = spaces.action
    discrete = isinstance(spec, DiscreteSpec)
    action = rng.integers(4, size=count) if discrete else rng.uniform(-1, 1, (count, spec.width)).astype(np.float32)
    obs = rng.normal(2.0, 3.0, (count + 1, 3)).astype(np.float32)
    flags = np.zeros(count, dtype=np.bool_)
    return transitions_of(spaces, obs[:-1], action, rng.normal(size=count), obs[1:], flags, flags)
