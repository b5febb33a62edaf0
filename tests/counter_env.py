"""An environment whose episodes have known lengths and returns."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces as gym_spaces

from rql.config.data import EnvConfig
from rql.envs.spaces import describe


class Counter(gymnasium.Env[Any, Any]):
    """Observes (start, steps so far, 0); ends after `start` steps, by a time limit where `start` is even."""

    observation_space = gym_spaces.Box(-1.0, 1000.0, (3,), np.float32)
    action_space = gym_spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.length = 2 + (seed % 9 if seed is not None else int(self.np_random.integers(9)))
        self.steps = 0
        return self._obs(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        done, even = self.steps >= self.length, self.length % 2 == 0
        return self._obs(), float(self.length), done and not even, done and even, {"is_success": done and even}

    def _obs(self) -> Any:
        return np.array([self.length, self.steps, 0], dtype=np.float32)


gymnasium.register("RQLTestCounter-v0", entry_point=lambda **_: Counter())
CONFIG = EnvConfig(id="RQLTestCounter-v0")
TEST_SPACES = describe("counter", Counter.observation_space, Counter.action_space)
