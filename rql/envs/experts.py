"""The experts that come with environments: scripted policies that know more than an agent sees, and solve the task."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from rql.config.data import EnvConfig

META_WORLD = "rql/MetaWorld"
CUBES = "cube-"
"""How the ids of environments with an expert begin: Meta-World's, and OGBench's that move cubes."""
WITH_EXPERT = "those of Meta-World and OGBench's cubes"
"""Which environments have one, for messages."""
PLACED = 0.04
"""Metres from its goal at which OGBench takes a cube for placed."""


class Expert(Protocol):
    """What solves an environment."""

    def begin(self, obs: Any, info: dict[str, Any], rng: np.random.Generator) -> None:
        """An episode begins."""

    def act(self, obs: Any, info: dict[str, Any]) -> NDArray[Any]:
        """Its next action."""


def has_expert(config: EnvConfig) -> bool:
    """Whether the environment comes with an expert."""
    return config.id.startswith((META_WORLD, CUBES))


def expert_of(config: EnvConfig, env: gymnasium.Env[Any, Any]) -> Expert:
    """The expert of an environment that has one."""
    return MetaWorldExpert(config.kwargs["env_name"]) if config.id.startswith(META_WORLD) else CubeExpert(env)


class MetaWorldExpert:
    """Meta-World's own policy for a task, a function of the observation."""

    def __init__(self, task: str) -> None:
        self._policy = importlib.import_module("metaworld.policies").ENV_POLICY_MAP[task]()

    def begin(self, obs: Any, info: dict[str, Any], rng: np.random.Generator) -> None:
        """Nothing to do: it remembers nothing."""

    def act(self, obs: Any, info: dict[str, Any]) -> NDArray[Any]:
        """Its action, which may leave the bounds."""
        action: NDArray[Any] = self._policy.get_action(obs)
        return action


class CubeExpert:
    """OGBench's own oracle for one cube, which takes the cubes that are not placed one after the other."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        self._core: Any = env.unwrapped
        self._oracle = importlib.import_module("ogbench.manipspace.oracles.markov.cube_markov").CubeMarkovOracle(
            env=env
        )
        self._rng, self._cube = np.random.default_rng(), 0

    def begin(self, obs: Any, info: dict[str, Any], rng: np.random.Generator) -> None:
        """Take the first cube."""
        self._rng = rng
        self._take(obs, info)

    def act(self, obs: Any, info: dict[str, Any]) -> NDArray[Any]:
        """The next action for the cube that it has, or for the next cube."""
        if self._oracle.done:
            self._take(obs, info)
        action: NDArray[Any] = self._oracle.select_action(obs, self._with_target(info))
        return action

    def _take(self, obs: Any, info: dict[str, Any]) -> None:
        away = [cube for cube in range(self._core._num_cubes) if self._distance(cube, info) > PLACED]
        self._cube = away[0] if away else self._cube
        with _numpy_seeded(self._rng):
            self._oracle.reset(obs, self._with_target(info))

    def _distance(self, cube: int, info: dict[str, Any]) -> float:
        return float(np.linalg.norm(info[f"privileged/block_{cube}_pos"] - self._goal(cube)))

    def _goal(self, cube: int) -> NDArray[Any]:
        goal: NDArray[Any] = self._core._data.mocap_pos[self._core._cube_target_mocap_ids[cube]].copy()
        return goal

    def _with_target(self, info: dict[str, Any]) -> dict[str, Any]:
        """What the oracle wants to know, which OGBench itself says only where it collects data without a task."""
        goal = {"privileged/target_block_pos": self._goal(self._cube), "privileged/target_block_yaw": np.zeros(1)}
        return info | goal | {"privileged/target_block": self._cube}


class Demonstrating(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment whose expert can be asked. What it does in an episode depends on the seed of its reset alone."""

    def __init__(self, env: gymnasium.Env[Any, Any], config: EnvConfig, noise: float) -> None:
        """`noise` is the standard deviation of what is added to actions, as a share of half the range of each."""
        super().__init__(env)
        self._expert, self._noise = expert_of(config, env), noise
        self._rng, self._obs, self._info = np.random.default_rng(), None, dict[str, Any]()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """The start of an episode."""
        self._obs, self._info = self.env.reset(seed=seed, options=options)
        self._rng = np.random.default_rng(seed)
        self._expert.begin(self._obs, self._info, self._rng)
        return self._obs, self._info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """One step of the environment."""
        self._obs, reward, terminated, truncated, self._info = self.env.step(action)
        return self._obs, reward, terminated, truncated, self._info

    def demonstrate(self) -> NDArray[Any]:
        """The expert's action with noise, within the bounds."""
        space = self.env.action_space
        assert isinstance(space, spaces.Box)
        noise = self._noise * 0.5 * (space.high - space.low) * self._rng.standard_normal(space.shape)
        action = np.clip(self._expert.act(self._obs, self._info), space.low, space.high)
        noisy: NDArray[Any] = np.clip(action + noise, space.low, space.high).astype(space.dtype)
        return noisy


@contextmanager
def _numpy_seeded(rng: np.random.Generator) -> Iterator[None]:
    """numpy's global generator seeded by another, and as it was before afterwards: OGBench's oracles draw from it."""
    before = np.random.get_state()
    np.random.seed(int(rng.integers(2**31)))
    try:
        yield
    finally:
        np.random.set_state(before)
