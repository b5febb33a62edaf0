"""Two corridors whose left end pays 0.1 and whose right end pays 1, and demonstrations that mostly go left."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from conftest import episode, write_minari
from gymnasium import spaces
from numpy.random import Generator

Policy = Callable[[Generator], Any]
"""Random numbers → the action of a step."""


class _Corridor(gymnasium.Env[Any, Any], ABC):
    """Ends at either end, or after `limit` steps."""

    start: float
    right: float
    limit: int

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.place, self.steps = self.start, 0
        return self._obs(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.place += self._move(action)
        self.steps += 1
        left, right = self.place <= 0.0, self.place >= self.right
        return self._obs(), 0.1 * left + 1.0 * right, bool(left or right), self.steps >= self.limit, {}

    @abstractmethod
    def _move(self, action: Any) -> float: ...

    @abstractmethod
    def _obs(self) -> Any: ...


class Cells(_Corridor):
    """Six cells in a row."""

    observation_space, action_space = spaces.Box(0.0, 1.0, (6,), np.float32), spaces.Discrete(2)
    start, right, limit = 2, 5, 30

    def _move(self, action: Any) -> float:
        return 1 if action == 1 else -1

    def _obs(self) -> Any:
        return np.eye(6, dtype=np.float32)[int(self.place)]


class Line(_Corridor):
    """A line of length 1, walked by up to 0.1 a step."""

    observation_space, action_space = spaces.Box(-2.0, 2.0, (1,), np.float32), spaces.Box(-1.0, 1.0, (1,), np.float32)
    start, right, limit = 0.5, 1.0, 40

    def _move(self, action: Any) -> float:
        return 0.1 * float(np.clip(action[0], -1.0, 1.0))

    def _obs(self) -> Any:
        return np.array([2.0 * self.place - 1.0], dtype=np.float32)


gymnasium.register("RQLTestCorridor-v0", entry_point=lambda **_: Cells())
gymnasium.register("RQLTestLine-v0", entry_point=lambda **_: Line())


def write_cells(root: Path) -> str:
    """Walks along the cells that go right with probability 0.4, as a Minari set; its id."""
    return _write(root, "corridor-v0", Cells(), 100, lambda rng: lambda rng: int(rng.random() < 0.4))


def write_line(root: Path) -> str:
    """Walks along the line of which 0.4 go right, as a Minari set; its id."""

    def walker(rng: Generator) -> Policy:
        towards = 0.4 if rng.random() < 0.4 else -0.4
        return lambda rng: np.clip(rng.normal(towards, 0.5, 1), -1.0, 1.0).astype(np.float32)

    return _write(root, "line-v0", Line(), 60, walker)


def _write(root: Path, id: str, env: _Corridor, count: int, walker: Callable[[Generator], Policy]) -> str:
    rng, episodes = np.random.default_rng(0), []
    for _ in range(count):
        policy = walker(rng)
        obs, actions, rewards, terminated = [env.reset()[0]], list[Any](), list[float](), False
        while not terminated and env.steps < env.limit:
            actions.append(policy(rng))
            following, reward, terminated, _, _ = env.step(actions[-1])
            obs.append(following)
            rewards.append(reward)
        before = [False] * (len(actions) - 1)
        flags = {"terminations": [*before, terminated], "truncations": [*before, not terminated]}
        fields: dict[str, Any] = {"observations": np.array(obs), "rewards": rewards} | flags
        episodes.append(episode(len(actions), obs[0].size, np.array(actions), **fields))
    write_minari(root, id, episodes, env.observation_space, env.action_space)
    return id
