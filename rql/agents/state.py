"""What an agent is made of while it learns, all of it tensors."""

from typing import NamedTuple

from torch import Tensor

from rql.agents.adam import Learned, Params

Noise = dict[str, Tensor]
"""The random numbers of one update or one action, by name."""

Metrics = dict[str, Tensor]
"""Scalars, still tensors: nothing waits for them until they are logged."""


class Normalizer(NamedTuple):
    """The mean and the standard deviation of the observations of D_offline, (obs_dim,) each."""

    mean: Tensor
    std: Tensor

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
