"""An environment whose success comes at a known step, and does not end it."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces as gym_spaces

LIMIT = 6
"""Steps of an episode."""


class Late(gymnasium.Env[Any, Any]):
    """Observes its steps; pays 10, 20, … for them; step 2 + seed % 6 and those after it succeed."""

    observation_space = gym_spaces.Box(0.0, 100.0, (1,), np.float32)
    action_space = gym_spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, reports: bool = True) -> None:
        self.reports = reports

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps, self.reached = 0, 2 + (seed if seed is not None else int(self.np_random.integers(LIMIT))) % LIMIT
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        info = {"success": self.steps >= self.reached} if self.reports else {}
        return np.array([self.steps], np.float32), 10.0 * self.steps, False, False, info


gymnasium.register("RQLTestGoesOn-v0", entry_point="late_env:Late", max_episode_steps=LIMIT)
