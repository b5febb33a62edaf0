"""What this package wraps environments in."""

from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec


class Wrapper(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Stands between an environment and the agent, and is no part of what makes the environment again."""

    @property
    def spec(self) -> EnvSpec | None:  # type: ignore[override]
        """The specification of what is wrapped, also for those who do not have this package."""
        return self.env.spec
