"""Between an environment's spaces and the agent's: flat observations, actions that are indices or in [−1, 1]^d."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from rql.errors import ConfigError

Array = NDArray[Any]


@dataclass(frozen=True)
class DiscreteSpec:
    """`count` actions, which the environment calls `start`, `start` + 1, …"""

    count: int
    start: int

    @property
    def width(self) -> int:
        """Numbers an action takes in a row of packed transitions."""
        return 1

    def to_env(self, action: Array) -> Array:
        """Indices (n,) to the environment's actions (n,)."""
        shifted: Array = action + self.start
        return shifted

    def from_env(self, action: Array) -> Array:
        """The environment's actions (n,) to indices (n,) int64."""
        return np.asarray(action, dtype=np.int64).reshape(-1) - self.start

    def outside(self, action: Array) -> NDArray[np.bool_]:
        """Which indices (n,) are no action."""
        wrong: NDArray[np.bool_] = np.logical_or(action < 0, action >= self.count)
        return wrong


@dataclass(frozen=True)
class ContinuousSpec:
    """Actions in [low, high], which the agent sees as [−1, 1]^d."""

    low: Array
    """(d,)."""
    high: Array
    """(d,)."""
    shape: tuple[int, ...]
    """Of an action in the environment; it has d components."""

    @property
    def width(self) -> int:
        """d."""
        return len(self.low)

    def to_env(self, action: Array) -> Array:
        """From [−1, 1]: (n, d) → (n, *shape)."""
        scaled: Array = self.low + 0.5 * (np.clip(action, -1.0, 1.0) + 1.0) * (self.high - self.low)
        return scaled.astype(self.low.dtype).reshape(-1, *self.shape)

    def from_env(self, action: Array) -> Array:
        """To [−1, 1]: (n, *shape) → (n, d) float32."""
        flat = np.asarray(action, dtype=np.float64).reshape(len(action), -1)
        return np.asarray(2.0 * (flat - self.low) / (self.high - self.low) - 1.0, dtype=np.float32)

    def outside(self, action: Array) -> NDArray[np.bool_]:
        """Which actions (n, d) leave [−1, 1]^d by more than rounding."""
        wrong: NDArray[np.bool_] = np.any(np.abs(action) > 1.0 + 1e-5, axis=1)
        return wrong


ActionSpec = DiscreteSpec | ContinuousSpec


@dataclass(frozen=True)
class Spaces:
    """What the agent needs to know of an environment."""

    obs_dim: int
    action: ActionSpec


def describe(env_id: str, observation: spaces.Space[Any], action: spaces.Space[Any]) -> Spaces:
    """The agent's view of an environment's spaces.

    Raises:
        ConfigError: if the observations are no Box, or the actions neither Discrete nor a Box with finite bounds.
    """
    if not isinstance(observation, spaces.Box):
        raise ConfigError("env.id", env_id, f"its observations are {observation}; a Box is needed")
    return Spaces(int(np.prod(observation.shape)), _describe_action(env_id, action))


def _describe_action(env_id: str, action: spaces.Space[Any]) -> ActionSpec:
    if isinstance(action, spaces.Discrete):
        return DiscreteSpec(int(action.n), int(action.start))
    if isinstance(action, spaces.Box) and _can_be_rescaled(action):
        return ContinuousSpec(action.low.reshape(-1), action.high.reshape(-1), action.shape)
    needed = "Discrete, or a Box of real numbers with finite bounds, is needed"
    raise ConfigError("env.id", env_id, f"its actions are {action}; {needed}")


def _can_be_rescaled(action: spaces.Box) -> bool:
    finite = np.isfinite([action.low, action.high]).all() and (action.low < action.high).all()
    return bool(finite and np.issubdtype(action.dtype, np.floating))


def flatten(obs: Array) -> NDArray[np.float32]:
    """Observations (n, ...) to (n, obs_dim) float32."""
    return np.asarray(obs, dtype=np.float32).reshape(len(obs), -1)
