"""A batch of transitions, as an update sees it."""

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """B transitions."""

    obs: Tensor
    """(B, obs_dim) float32."""
    action: Tensor
    """(B,) int64 for discrete actions, (B, d) float32 in [−1, 1] for continuous ones."""
    reward: Tensor
    """(B,) float32."""
    next_obs: Tensor
    """(B, obs_dim) float32; where an episode ended, its own last observation."""
    terminated: Tensor
    """(B,) float32: 1 where the episode ended for good, 0 elsewhere, also where a time limit cut it."""
