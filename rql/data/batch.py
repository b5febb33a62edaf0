"""A batch of transitions as an update sees it, what is asked of a draw, and who can be drawn from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from rql.data.columns import Field

MC_RETURN, NEXT_ACTION, NEXT_PROPOSALS, ACTION_MASK = "mc_return", "next_action", "next_proposals", "action_mask"
TO_END = 1 << 40
"""Steps of a transition that goes on to the end of its episode."""


class Batch(NamedTuple):
    """B transitions of one or several steps."""

    obs: Tensor
    """(B, obs_dim) float32."""
    action: Tensor
    """(B,) int64 for discrete actions, (B, d) float32 in [−1, 1] for continuous ones; of `Draw.horizon` steps one after
    the other, (B, h) or (B, h · d), where that is above 1.
    """
    reward: Tensor
    """(B,) float32: Σ_{i<k} γ^i r_i over the k steps."""
    next_obs: Tensor
    """(B, obs_dim) float32, k steps later; where an episode ended, its own last observation."""
    terminated: Tensor
    """(B,) float32: 1 where the episode ended for good, 0 elsewhere, also where a time limit cut it."""
    steps: Tensor
    """(B,) float32: k."""
    extra: dict[str, Tensor] = {}  # noqa: RUF012 (nobody changes it)
    """What `Draw.needs` and `Draw.horizon` ask for, by name."""


@dataclass(frozen=True)
class RewardTransform:
    """The reward that an agent learns from: scale · r + shift."""

    scale: float = 1.0
    shift: float = 0.0

    def __call__(self, reward: Any) -> Any:
        """Of an array or tensor of rewards of any shape."""
        return reward if self.scale == 1.0 and self.shift == 0.0 else reward * self.scale + self.shift


IDENTITY = RewardTransform()


@dataclass(frozen=True)
class Draw:
    """What a batch is to hold."""

    n_step: int = 1
    """Steps from `obs` to `next_obs`, fewer where an episode ends; `TO_END` goes on to there."""
    discount: float = 1.0
    """γ of the sum of rewards."""
    horizon: int = 1
    """Steps of which `action` holds the actions. Where it is above 1, `extra["action_mask"]`, of the same shape, is 1
    for those that were made in the episode, and 0 for those after its end or after the newest step, which are 0.
    """
    needs: frozenset[str] = frozenset()
    """Names of what else `extra` is to hold, (B, …) each: further columns of the data set, or

    - `mc_return`: Σ γ^i r_i up to the end of the episode, or up to its newest step where it goes on; nothing is
      bootstrapped there;
    - `next_action`: the action at `next_obs`, and `next_action_mask`, 0 where the episode ended before it.
    - `next_proposals`: what stands beside `next_obs` in the column `proposals`.
    """
    reward: RewardTransform = IDENTITY
    """What is done to each reward before they are summed."""


class Sampler(Protocol):
    """Something that batches are drawn from: a data set, a replay buffer, or a mix of both."""

    @property
    def fields(self) -> Mapping[str, Field]:
        """Its columns."""

    def sample(self, count: int, rng: torch.Generator, draw: Draw) -> Batch:
        """A batch of `count` transitions, drawn with replacement."""
