"""Goal environments: dictionaries of observation, achieved_goal and desired_goal, and success."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

SUCCESS_KEYS = ("is_success", "success")
"""Where an environment reports success in `info`."""


def is_goal_env(env: gymnasium.Env[Any, Any]) -> bool:
    """Whether observations carry an achieved and a desired goal, and the reward is a function of both."""
    space = env.observation_space
    named = isinstance(space, spaces.Dict) and {"achieved_goal", "desired_goal"} <= space.spaces.keys()
    return named and hasattr(env.unwrapped, "compute_reward")


class GoalSuccess(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Reports `info["success"]` where a goal environment does not: the reward is that of having reached the goal."""

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """One step of the environment."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        if not any(key in info for key in SUCCESS_KEYS):
            compute: Any = getattr(self.env.unwrapped, "compute_reward")  # noqa: B009
            goal = obs["desired_goal"]
            reached, best = compute(obs["achieved_goal"], goal, info), compute(goal, goal, info)
            info["success"] = bool(np.all(reached >= best))
        return obs, reward, terminated, truncated, info
