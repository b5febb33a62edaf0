"""The experts that come with environments: scripted policies that know more than an agent sees, and solve the task."""

import importlib
import warnings
from typing import Any, Protocol

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from rql.config.data import EnvConfig
from rql.envs.maze_expert import MazeExpert
from rql.envs.ogbench_expert import OGBenchExpert
from rql.envs.two_ways import TwoWaysExpert
from rql.envs.wrapper import Wrapper

META_WORLD, TWO_WAYS, MAZE = "rql/MetaWorld", "rql/TwoWays", "PointMaze"
TABLETOP = ("cube-", "scene-", "puzzle-")
"""How the ids of environments with an expert begin: Meta-World's, the toy's, gymnasium-robotics' point mazes, and
OGBench's with things on a table."""
WITH_EXPERT = "those of Meta-World, PointMaze, rql/TwoWays-v0 and OGBench's cube, scene and puzzle with a single task"
"""Which environments have one, for messages."""


class Expert(Protocol):
    """What solves an environment."""

    def begin(self, obs: Any, info: dict[str, Any], rng: np.random.Generator) -> None:
        """An episode begins."""

    def act(self, obs: Any, info: dict[str, Any]) -> NDArray[Any]:
        """Its next action."""


def has_expert(config: EnvConfig) -> bool:
    """Whether the environment comes with an expert."""
    own = config.id.startswith((META_WORLD, TWO_WAYS, MAZE))
    return own or (config.id.startswith(TABLETOP) and "-singletask-" in config.id)


def expert_of(config: EnvConfig, env: gymnasium.Env[Any, Any]) -> Expert:
    """The expert of an environment that has one."""
    if config.id.startswith(TWO_WAYS):
        return TwoWaysExpert()
    if config.id.startswith(MAZE):
        return MazeExpert(env)
    return MetaWorldExpert(config.kwargs["env_name"]) if config.id.startswith(META_WORLD) else OGBenchExpert(env)


class MetaWorldExpert:
    """Meta-World's own policy for a task, a function of the observation."""

    def __init__(self, task: str) -> None:
        self._policy = importlib.import_module("metaworld.policies").ENV_POLICY_MAP[task]()

    def begin(self, obs: Any, info: dict[str, Any], rng: np.random.Generator) -> None:
        """Nothing to do: it remembers nothing."""

    def act(self, obs: Any, info: dict[str, Any]) -> NDArray[Any]:
        """Its action, which may leave the bounds."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that its actions leave the bounds
            action: NDArray[Any] = self._policy.get_action(obs)
        return action


class Demonstrating(Wrapper):
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
