"""Transitions packed one to a row, so that drawing a batch is a single gather."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rql.data.batch import Batch
from rql.envs.spaces import DiscreteSpec, Spaces

Rows = NDArray[np.float32]


class Columns(NamedTuple):
    """Of n rows."""

    obs: Rows
    """(n, obs_dim)."""
    action: Rows
    """(n, action_width)."""
    reward: Rows
    """(n,)."""
    next_obs: Rows
    terminated: Rows
    """(n,)."""
    steps: Rows
    """(n,)."""


@dataclass(frozen=True)
class RowLayout:
    """A row of float32: obs, action, next_obs, and then reward, terminated and steps."""

    obs_dim: int
    action_width: int
    discrete: bool

    @classmethod
    def of(cls, spaces: Spaces) -> "RowLayout":
        """The layout for an environment."""
        return cls(spaces.obs_dim, spaces.action.width, isinstance(spaces.action, DiscreteSpec))

    @property
    def width(self) -> int:
        """Numbers in a row."""
        return 2 * self.obs_dim + self.action_width + 3

    def pack(
        self,
        obs: NDArray[np.float32],
        action: NDArray[np.int64] | NDArray[np.float32],
        reward: NDArray[np.float32],
        next_obs: NDArray[np.float32],
        terminated: NDArray[np.bool_],
    ) -> Rows:
        """n transitions of one step → (n, width)."""
        parts = [obs, action, next_obs, reward, terminated, np.ones(len(obs))]
        return np.concatenate([np.asarray(part, dtype=np.float32).reshape(len(obs), -1) for part in parts], axis=1)

    def split(self, rows: Rows) -> "Columns":
        """(n, width) → views of its columns."""
        action = self.obs_dim + self.action_width
        following = action + self.obs_dim
        obs, actions, next_obs = rows[:, : self.obs_dim], rows[:, self.obs_dim : action], rows[:, action:following]
        return Columns(obs, actions, rows[:, -3], next_obs, rows[:, -2], rows[:, -1])

    def unpack(self, rows: Tensor) -> Batch:
        """(n, width) → a batch of n transitions."""
        obs, action, next_obs, rest = rows.split_with_sizes((self.obs_dim, self.action_width, self.obs_dim, 3), 1)
        reward, terminated, steps = rest.unbind(1)
        if self.discrete:
            action = action.squeeze(1).long()
        return Batch(obs, action, reward, next_obs, terminated, steps)
