"""Transitions packed one to a row, so that drawing a batch is a single gather."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rql.data.batch import Batch
from rql.envs.spaces import DiscreteSpec, Spaces

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class RowLayout:
    """Where obs, action, reward, next_obs, terminated and steps stand in a row of float32."""

    obs_dim: int
    action_width: int
    discrete: bool

    @classmethod
    def of(cls, view: Spaces) -> "RowLayout":
        """The layout for an environment."""
        return cls(view.obs_dim, view.action.width, isinstance(view.action, DiscreteSpec))

    @property
    def widths(self) -> list[int]:
        """Of the six fields, in their order."""
        return [self.obs_dim, self.action_width, 1, self.obs_dim, 1, 1]

    @property
    def width(self) -> int:
        """Numbers in a row."""
        return sum(self.widths)

    def pack(
        self,
        obs: NDArray[np.float32],
        action: NDArray[np.int64] | NDArray[np.float32],
        reward: NDArray[np.float32],
        next_obs: NDArray[np.float32],
        terminated: NDArray[np.bool_],
    ) -> Rows:
        """n transitions of one step → (n, width)."""
        parts = [obs, action, reward, next_obs, terminated, np.ones(len(obs))]
        return np.concatenate([np.asarray(part, dtype=np.float32).reshape(len(obs), -1) for part in parts], axis=1)

    def split(self, rows: Rows) -> list[Rows]:
        """(n, width) → views of obs, action, reward, next_obs, terminated and steps, (n, their width) each."""
        return np.split(rows, np.cumsum(self.widths)[:-1], axis=1)

    def unpack(self, rows: Tensor) -> Batch:
        """(n, width) → a batch of n transitions."""
        obs, action, reward, next_obs, terminated, steps = torch.split(rows, self.widths, dim=1)
        if self.discrete:
            action = action.squeeze(1).long()
        return Batch(obs, action, reward.squeeze(1), next_obs, terminated.squeeze(1), steps.squeeze(1))
