"""Goal environments: dictionaries of observation, achieved_goal and desired_goal, and success."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from rql.envs.wrapper import Wrapper

SUCCESS_KEYS = ("is_success", "success")
"""Where an environment reports success in `info`."""
COMPLETED = "episode_task_completions"
"""Where FrankaKitchen lists in `info` which of its tasks are done; each has an entry in `desired_goal`."""


def is_goal_env(env: gymnasium.Env[Any, Any]) -> bool:
    """Whether observations carry an achieved and a desired goal, and the reward is a function of both."""
    space = env.observation_space
    named = isinstance(space, spaces.Dict) and {"achieved_goal", "desired_goal"} <= space.spaces.keys()
    return named and hasattr(env.unwrapped, "compute_reward")


class GoalSuccess(Wrapper):
    """Reports `info["success"]` where a goal environment does not."""

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """One step of the environment."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        if not any(key in info for key in SUCCESS_KEYS):
            info["success"] = self._reached(obs, info)
        return obs, reward, terminated, truncated, info

    def _reached(self, obs: Any, info: dict[str, Any]) -> bool:
        """Whether all tasks of a list are done, or else the reward is that of having reached the goal."""
        if COMPLETED in info:
            return len(info[COMPLETED]) == len(obs["desired_goal"])
        compute: Any = getattr(self.env.unwrapped, "compute_reward")  # noqa: B009
        goal = obs["desired_goal"]
        reached, best = compute(obs["achieved_goal"], goal, info), compute(goal, goal, info)
        return bool(np.all(reached >= best))
