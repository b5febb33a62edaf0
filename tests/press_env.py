"""An environment in which success costs return, so that the two never agree on which policy is better."""

from typing import Any

import gymnasium
import numpy as np
from conftest import TINY
from gymnasium import spaces


class Press(gymnasium.Env[Any, Any]):
    """Three steps; one succeeds whose force is at least what the observation says is needed, and force costs reward."""

    observation_space, action_space = spaces.Box(-1.0, 1.0, (1,), np.float32), spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.needed, self.steps = float(self.np_random.uniform(-1.0, 1.0)), 0
        return self._obs(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        force = float(np.clip(action[0], -1.0, 1.0))
        return self._obs(), -force, False, self.steps >= 3, {"success": force >= self.needed}

    def _obs(self) -> Any:
        return np.array([self.needed], np.float32)


gymnasium.register("RQLTestPress-v0", entry_point=lambda **_: Press())

PRESS = [
    *("env.id=RQLTestPress-v0", "experiment=scratch", "compile=off", "q.learning_rate=0.01"),
    *("network.actor.hidden=[16]", "network.critic.hidden=[16]", "composition.learning_rate=0.01"),
    *(word for word in TINY if not word.startswith(("++env.kwargs", "dataset.", "bc.updates", "offline.updates"))),
    *("online.env_steps=60", "evaluation.episodes=20", "evaluation.boundary_episodes=20"),
]
"""Overrides for a run of a second or two from scratch, of which the success rate falls and the return rises."""
