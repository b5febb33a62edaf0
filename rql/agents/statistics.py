"""What an agent knows of its data before it learns anything."""

from typing import NamedTuple

import torch
from torch import Tensor

from rql.data.batch import RewardTransform
from rql.data.returns import discounted_returns
from rql.data.transitions import Transitions
from rql.nn.network import Params
from rql.nn.normalizer import Normalizer


class ReturnStatistics(NamedTuple):
    """The mean and the standard deviation of discounted returns over the states of a data set, scalars."""

    mean: Tensor
    std: Tensor


class Statistics(NamedTuple):
    """The observations and the returns of D_offline, and what was learned elsewhere."""

    normalizer: Normalizer
    returns: ReturnStatistics
    adopted: Params | None = None
    """The parameters of a π_BC that is taken over from another run, with its normaliser."""

    @classmethod
    def unknown(cls, obs_dim: int, device: torch.device) -> "Statistics":
        """Observations as they are, and returns in the unit of the reward."""
        zero, one = torch.zeros((), device=device), torch.ones((), device=device)
        return cls(Normalizer.identity(obs_dim, device), ReturnStatistics(zero, one))

    @classmethod
    def of(cls, data: Transitions, discount: float, reward: RewardTransform, device: torch.device) -> "Statistics":
        """Of a data set. Returns that are all the same have the unit of the reward."""
        returns = discounted_returns(data, discount, reward)
        mean, std = float(returns.mean()), float(returns.std())
        spread = std if std > 1e-6 * abs(mean) else 1.0
        scalars = (torch.tensor(value, dtype=torch.float32, device=device) for value in (mean, spread))
        return cls(Normalizer.of(data.obs, device), ReturnStatistics(*scalars))
