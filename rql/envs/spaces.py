"""Between an environment's spaces and the agent's: flat observations, actions that are indices or in [−1, 1]^d."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces as gym_spaces
from numpy.typing import NDArray

from rql.utils.errors import ConfigError
from rql.utils.tree import map_leaves

Array = NDArray[Any]
UNBOUNDED = 1e9
"""Bounds of this size stand for no bounds; in actions seen as a share of them, those of usual size are all 0."""
GOAL_KEYS = ("observation", "desired_goal")
"""What the agent sees of a goal environment unless told otherwise, as in D4RL."""


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
        """The environment's actions (n,) to indices (n,) int64; what is no whole number becomes −1."""
        flat = np.asarray(action).reshape(-1)
        whole = np.where(np.isfinite(flat) & (flat == np.round(flat)), flat, self.start - 1)
        return whole.astype(np.int64) - self.start

    @property
    def bounds(self) -> str:
        """The environment's actions, for messages."""
        return f"{self.start} to {self.start + self.count - 1}"

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

    def repeated(self, times: int) -> "ContinuousSpec":
        """So many of these actions, one after the other, as one."""
        return ContinuousSpec(np.tile(self.low, times), np.tile(self.high, times), (times, *self.shape))

    def to_env(self, action: Array) -> Array:
        """From [−1, 1]: (n, d) → (n, *shape)."""
        scaled: Array = self.low + 0.5 * (np.clip(action, -1.0, 1.0) + 1.0) * (self.high - self.low)
        # rounding may lead past a bound, and environments may be strict
        return np.clip(scaled, self.low, self.high).astype(self.low.dtype).reshape(-1, *self.shape)

    def from_env(self, action: Array) -> Array:
        """To [−1, 1]: (n, *shape) → (n, d) float32."""
        flat = np.asarray(action, dtype=np.float64).reshape(len(action), -1)
        return np.asarray(2.0 * (flat - self.low) / (self.high - self.low) - 1.0, dtype=np.float32)

    @property
    def bounds(self) -> str:
        """The environment's actions, for messages."""
        return f"{self.low.tolist()} to {self.high.tolist()}"

    def outside(self, action: Array) -> NDArray[np.bool_]:
        """Which actions (n, d) leave [−1, 1]^d by more than rounding."""
        wrong: NDArray[np.bool_] = np.any(np.abs(action) > 1.0 + 1e-5, axis=1)
        return wrong


ActionSpec = DiscreteSpec | ContinuousSpec


@dataclass(frozen=True)
class ObservationSpec:
    """Observations as the agent sees them: the leaves of the environment's space, one after the other, float32."""

    space: gym_spaces.Space[Any]
    """Of the environment; of a dictionary, what the agent sees of it."""
    dim: int

    @property
    def stored_form(self) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Shape and dtype of an observation where it is kept: those of a Box, and flat where the space is another."""
        if isinstance(self.space, gym_spaces.Box):
            return self.space.shape, np.dtype(self.space.dtype)
        return (self.dim,), np.dtype(np.float32)

    def stored(self, obs: Any) -> Array:
        """n observations, stacked leaf by leaf, as they are kept: (n, …)."""
        return np.asarray(obs) if isinstance(self.space, gym_spaces.Box) else self.flatten(obs)

    def flatten(self, obs: Any) -> NDArray[np.float32]:
        """n observations, stacked leaf by leaf, to (n, dim)."""
        return np.concatenate(_leaves(self.space, obs), axis=1)

    def flatten_one(self, obs: Any) -> NDArray[np.float32]:
        """One observation to (dim,)."""
        flat: NDArray[np.float32] = self.flatten(map_leaves(lambda leaf: np.asarray(leaf)[None], obs))[0]
        return flat


@dataclass(frozen=True)
class Spaces:
    """What the agent needs to know of an environment."""

    observation: ObservationSpec
    action: ActionSpec

    @property
    def obs_dim(self) -> int:
        """Numbers in an observation as the agent sees it."""
        return self.observation.dim


def describe(
    env_id: str,
    observation: gym_spaces.Space[Any],
    action: gym_spaces.Space[Any],
    obs_keys: Sequence[str] | None = None,
    flatten_images: bool = False,
) -> Spaces:
    """The agent's spaces of an environment's spaces. `obs_keys` are the entries of a dictionary that it sees.

    Raises:
        ConfigError: if the observations are not made of numbers and choices, a key is not there, an image is not to be
            laid flat, or the actions are neither Discrete nor a Box with bounds.
    """
    seen = _chosen(observation, obs_keys)
    try:
        dim = _dim(seen)
    except TypeError as error:
        needed = "Box, Discrete, MultiDiscrete and MultiBinary spaces, alone or in Dict and Tuple spaces, are needed"
        raise ConfigError("env.id", env_id, f"its observations are {observation}; {needed}") from error
    images = [] if flatten_images else [leaf for leaf in _leaf_spaces(seen) if is_image(leaf.shape or (), leaf.dtype)]
    if images:
        shown = f"{env_id} shows an image, {images[0]}, and no network here is made for images"
        flat = f"true lays it flat, as {_dim(images[0]):,} numbers"
        raise ConfigError("env.flatten_images", False, f"{shown}; {flat}, env.obs_keys names entries of a dictionary")
    return Spaces(ObservationSpec(seen, dim), _describe_action(env_id, action))


def is_image(shape: tuple[int, ...], dtype: Any) -> bool:
    """Whether observations of this shape and dtype are images: they have three dimensions, or two of bytes."""
    return len(shape) >= (2 if dtype == np.uint8 else 3)


def _leaf_spaces(space: gym_spaces.Space[Any]) -> list[gym_spaces.Space[Any]]:
    if isinstance(space, gym_spaces.Dict):
        return [leaf for part in space.spaces.values() for leaf in _leaf_spaces(part)]
    if isinstance(space, gym_spaces.Tuple):
        return [leaf for part in space.spaces for leaf in _leaf_spaces(part)]
    return [space]


def _chosen(space: gym_spaces.Space[Any], keys: Sequence[str] | None) -> gym_spaces.Space[Any]:
    if not isinstance(space, gym_spaces.Dict):
        if keys is not None:
            raise ConfigError("env.obs_keys", list(keys), f"the observations are no dictionary but {space}")
        return space
    if keys is None:
        keys = GOAL_KEYS if set(GOAL_KEYS) <= space.spaces.keys() else list(space.spaces)
    if not keys or not set(keys) <= space.spaces.keys():
        raise ConfigError("env.obs_keys", list(keys), f"some of {', '.join(space.spaces)}")
    return gym_spaces.Dict(OrderedDict((key, space[key]) for key in keys))  # a plain dictionary would be sorted


def _leaves(space: gym_spaces.Space[Any], obs: Any) -> list[NDArray[np.float32]]:
    """(n, width) of each leaf; a choice is one-hot, and NaN where it is no element of its space."""
    if isinstance(space, gym_spaces.Dict):
        return [leaf for key, part in space.spaces.items() for leaf in _leaves(part, obs[key])]
    if isinstance(space, gym_spaces.Tuple):
        return [leaf for index, part in enumerate(space.spaces) for leaf in _leaves(part, obs[index])]
    values = np.asarray(obs)
    flat = values.reshape(len(values), -1)
    match space:
        case gym_spaces.Discrete():
            return [_one_hot(flat[:, 0], int(space.start), int(space.n))]
        case gym_spaces.MultiDiscrete():
            choices = zip(flat.T, space.start.ravel(), space.nvec.ravel(), strict=True)
            return [_one_hot(column, int(start), int(count)) for column, start, count in choices]
        case gym_spaces.MultiBinary():
            return [np.where((flat == 0) | (flat == 1), flat, np.nan).astype(np.float32)]
    return [flat.astype(np.float32)]


def _one_hot(values: Array, start: int, count: int) -> NDArray[np.float32]:
    """(n, count) of choices (n,), NaN where one is not there."""
    chosen: NDArray[np.float32] = (values[:, None] - start == np.arange(count)).astype(np.float32)
    chosen[chosen.sum(axis=1) == 0.0] = np.nan
    return chosen


def _dim(space: gym_spaces.Space[Any]) -> int:
    match space:
        case gym_spaces.Dict() | gym_spaces.Tuple():
            parts = space.spaces.values() if isinstance(space, gym_spaces.Dict) else space.spaces
            return sum(_dim(part) for part in parts)
        case gym_spaces.Discrete():
            return int(space.n)
        case gym_spaces.MultiDiscrete():
            return int(space.nvec.sum())
        case gym_spaces.Box() | gym_spaces.MultiBinary():
            return int(np.prod(space.shape))
        case _:
            raise TypeError(f"{space} is not made of numbers")


def _describe_action(env_id: str, action: gym_spaces.Space[Any]) -> ActionSpec:
    if isinstance(action, gym_spaces.Discrete):
        return DiscreteSpec(int(action.n), int(action.start))
    if isinstance(action, gym_spaces.Box) and _has_bounds(action):
        spec = ContinuousSpec(action.low.reshape(-1), action.high.reshape(-1), action.shape)
        if _can_be_undone(spec):
            return spec
    needed = f"Discrete, or a Box of real numbers with bounds below {UNBOUNDED:g} that differ, is needed"
    raise ConfigError("env.id", env_id, f"its actions are {action}; {needed}")


def _has_bounds(action: gym_spaces.Box) -> bool:
    bounds = np.asarray([action.low, action.high], dtype=np.float64)
    real = np.issubdtype(action.dtype, np.floating)
    return bool(real and (np.abs(bounds) < UNBOUNDED).all() and (action.low < action.high).all())


def _can_be_undone(spec: ContinuousSpec) -> bool:
    """Whether actions come back from the environment's as they were, for its numbers lie closer than its bounds."""
    actions = np.repeat(np.linspace(-1.0, 1.0, 8)[:, None], spec.width, axis=1)
    return bool(np.allclose(spec.from_env(spec.to_env(actions)), actions, atol=1e-3))
