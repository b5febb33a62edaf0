"""Success as the task: what a step pays where success counts, and that an episode may end with it."""

from typing import Any

import gymnasium
import numpy as np

from rql.config.choices import Reward
from rql.config.data import EnvConfig
from rql.envs.goals import SUCCESS_KEYS
from rql.envs.wrapper import Wrapper
from rql.utils.errors import ConfigError


def ends_at_success(config: EnvConfig) -> bool:
    """Whether success ends an episode."""
    return config.terminate_on_success or not pays_itself(config)


def pays_itself(config: EnvConfig) -> bool:
    """Whether steps pay what the environment pays."""
    return config.reward is Reward.environment


def paid(kind: Reward, reward: Any, success: Any) -> Any:
    """What steps pay that would pay `reward`, and of which `success` (0 or 1) is known; numbers or arrays (T,)."""
    match kind:
        case Reward.success:
            return success
        case Reward.step_cost:
            return success - 1.0
    return reward


def success_of(info: dict[str, Any]) -> float | None:
    """What a step reports, 1 or 0; None where it reports nothing."""
    reported = [float(info[key]) for key in SUCCESS_KEYS if key in info]
    return reported[0] if reported else None


class OnSuccess(Wrapper):
    """An environment that pays for success as `env.reward` says, and ends with it where it should."""

    def __init__(self, env: gymnasium.Env[Any, Any], config: EnvConfig) -> None:
        super().__init__(env)
        self._kind, self._ends = config.reward, ends_at_success(config)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """One step of the environment.

        Raises:
            ConfigError: if it does not say whether it succeeded.
        """
        obs, reward, terminated, truncated, info = self.env.step(action)
        success = success_of(info)
        if success is None:
            given = (
                ("reward", self._kind.value) if self._kind is not Reward.environment else ("terminate_on_success", True)
            )
            allowed = f"an environment that says in info whether it succeeded ({' or '.join(SUCCESS_KEYS)})"
            raise ConfigError(f"env.{given[0]}", given[1], allowed)
        ended = self._ends and success > 0.0
        return obs, paid(self._kind, reward, np.float64(success)), terminated or ended, truncated and not ended, info
