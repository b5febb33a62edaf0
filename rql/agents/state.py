"""What an agent is made of while it learns, all of it tensors."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rql.optim.adam import Learned, Params

Noise = dict[str, Tensor]
"""The random numbers of one update or one action, by name."""

Metrics = dict[str, Tensor]
"""Scalars, still tensors: nothing waits for them until they are logged."""


class Normalizer(NamedTuple):
    """The mean and the standard deviation of observations, (obs_dim,) each."""

    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, obs: NDArray[np.float32], device: torch.device) -> "Normalizer":
        """That of (N, obs_dim). A dimension that never changes is centred, and left in its own unit."""
        std = obs.std(axis=0, dtype="float64").astype("float32")
        std[std < 1e-3] = 1.0
        mean = obs.mean(axis=0, dtype="float64").astype("float32")
        return cls(torch.from_numpy(mean).to(device), torch.from_numpy(std).to(device))

    @classmethod
    def identity(cls, obs_dim: int, device: torch.device) -> "Normalizer":
        """That which leaves observations as they are."""
        return cls(torch.zeros(obs_dim, device=device), torch.ones(obs_dim, device=device))

    def __call__(self, obs: Tensor) -> Tensor:
        """Normalised observations, (..., obs_dim) → (..., obs_dim)."""
        return (obs - self.mean) / self.std


class AgentState(NamedTuple):
    """The whole agent. A checkpoint is this tree."""

    normalizer: Normalizer
    bc: Learned
    critic: Learned
    target: Params
    """Q̄."""
    actor: Learned
    """π_θ; empty where the composition needs no network."""
    q_scale: Tensor
    """Running mean over states of the standard deviation of Q(s,a) over a ~ π_BC."""
    beta: Tensor
    updates: Tensor
    """Updates of the critic, a float scalar."""


class Hyperparameters(NamedTuple):
    """The numbers of an update that may differ between runs or change during one, all scalars."""

    bc_learning_rate: Tensor
    critic_learning_rate: Tensor
    actor_learning_rate: Tensor
    discount: Tensor
    tau: Tensor
    alpha: Tensor
    """α_CQL."""
    beta: Tensor
    """The schedule's β; not read where β is adapted to a KL budget."""
    kl_budget: Tensor
    kl_rate: Tensor
    kl_max_beta: Tensor
