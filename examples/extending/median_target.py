"""A TD target of your own: the median of Q̄(s', a_i) over the sampled actions, which no outlier moves."""

from dataclasses import dataclass

from torch import Tensor

import rql
from rql.config.method import TargetConfig


def median_value(q: Tensor, log_weight: Tensor, beta: Tensor) -> Tensor:
    """The value of the next state (B,) from Q̄ (B, N) of N actions with their log weights (B, N) under π_BC."""
    return q.median(-1).values


@rql.register("target", "median", median_value)
@dataclass
class MedianTargetConfig(TargetConfig):
    """The median over the actions."""
