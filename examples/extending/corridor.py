"""An environment of your own: gymnasium registers it, `env.id` names it."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

Observation = NDArray[np.float32]


class Corridor(gymnasium.Env[Observation, np.int64]):
    """Cells in a row: walk to the right end. A step costs 1."""

    def __init__(self, length: int = 8) -> None:
        self.length, self.cell = length, 0
        self.observation_space = spaces.Box(0.0, 1.0, (1,), np.float32)
        self.action_space = spaces.Discrete(2)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin in a random cell left of the goal."""
        super().reset(seed=seed)
        self.cell = int(self.np_random.integers(self.length - 1))
        return self._observation(), {}

    def step(self, action: np.int64) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Walk left (0) or right (1)."""
        self.cell = min(max(self.cell + 2 * int(action) - 1, 0), self.length - 1)
        return self._observation(), -1.0, self.cell == self.length - 1, False, {}

    def _observation(self) -> Observation:
        return np.array([self.cell / (self.length - 1)], np.float32)


gymnasium.register("Corridor-v0", entry_point="corridor:Corridor", max_episode_steps=50)
