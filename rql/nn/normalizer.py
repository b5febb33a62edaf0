"""Normalising observations."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LIMIT = 10.0
"""Of a normalised observation, in size: what is far from all data is seen as just beyond them."""
CONSTANT = 1e-6
"""A standard deviation below this share of the largest number in its dimension is rounding."""
HARDLY = 0.01
"""A dimension hardly varies whose standard deviation is below this share of the median over those that vary."""


class Normalizer(NamedTuple):
    """The mean and the standard deviation of observations, (obs_dim,) each."""

    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, obs: NDArray[np.float32], device: torch.device) -> "Normalizer":
        """The statistics of (N, obs_dim). A dimension that does not vary, or hardly, is taken to do so by the median of
        the others.

        Divided by its own deviation it would be blown up: an object at rest trembles by a millionth, and once touched
        it would lie beyond `LIMIT`.
        """
        std = obs.std(axis=0, dtype="float64").astype("float32")
        varies = std > CONSTANT * np.maximum(obs.max(axis=0), -obs.min(axis=0))
        usual = np.median(std[varies]) if varies.any() else np.float32(1.0)
        std[~varies | (std < HARDLY * usual)] = usual
        mean = obs.mean(axis=0, dtype="float64").astype("float32")
        return cls(torch.from_numpy(mean).to(device), torch.from_numpy(std).to(device))

    @classmethod
    def identity(cls, obs_dim: int, device: torch.device) -> "Normalizer":
        """The normaliser that leaves observations as they are, up to `LIMIT`."""
        return cls(torch.zeros(obs_dim, device=device), torch.ones(obs_dim, device=device))

    def __call__(self, obs: Tensor) -> Tensor:
        """Normalised observations, (..., obs_dim) → (..., obs_dim), in [−`LIMIT`, `LIMIT`]."""
        return ((obs - self.mean) / self.std).clamp(-LIMIT, LIMIT)
