"""A batch of transitions, as an update sees it."""

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """B transitions of one or several steps."""

    obs: Tensor
    """(B, obs_dim) float32."""
    action: Tensor
    """(B,) int64 for discrete actions, (B, d) float32 in [−1, 1] for continuous ones."""
    reward: Tensor
    """(B,) float32: Σ_{i<k} γ^i r_i over the k steps."""
    next_obs: Tensor
    """(B, obs_dim) float32, k steps later; where an episode ended, its own last observation."""
    terminated: Tensor
    """(B,) float32: 1 where the episode ended for good, 0 elsewhere, also where a time limit cut it."""
    steps: Tensor
    """(B,) float32: k."""
