"""The losses. Each is a scalar: a mean over the batch and, for critics, a sum over the ensemble."""

import torch
from torch import Tensor

from rql.nn.distributions import Categorical, Mixture, SquashedGaussian


def bc_loss(policy: Categorical | SquashedGaussian | Mixture, action: Tensor, mask: Tensor | None = None) -> Tensor:
    """L_BC = E_{(s,a)~D_bc}[ −log π_BC(a|s) ]; `action` is (B,) int64 or (B, d).

    With a `mask` (B, d) of 0 and 1 it is the density of the components with a 1 alone.
    """
    if mask is None:
        return -policy.log_prob(action).mean()
    assert not isinstance(policy, Categorical)
    return -policy.log_prob(action, mask).mean()


def flow_loss(velocity: Tensor, start: Tensor, action: Tensor, mask: Tensor | None = None) -> Tensor:
    """E[ |v(s, x_t, t) − (a − x_0)|² ] with x_t = (1−t) x_0 + t a, of flow matching (Lipman et al. 2023).

    The velocity v at x_t, its start x_0 ~ N(0, 1) and the action a that was demonstrated are (B, d). With a `mask`
    (B, d) of 0 and 1 it is of the components with a 1 alone.
    """
    wrong = (velocity - (action - start)).square()
    return (wrong if mask is None else wrong * mask).sum(-1).mean()


def td_loss(q: Tensor, target: Tensor) -> Tensor:
    """L_TD = Σ_e E[ (Q_e(s,a) − y)² ]; `q` is (E, B) and `target` y (B,), through which no gradient flows."""
    return (q - target.detach()).square().mean(-1).sum()


def value_loss(value: Tensor, returns: Tensor) -> Tensor:
    """E[ (V(s) − G)² ]; `value` and `returns` G, through which no gradient flows, are (B,)."""
    return (value - returns.detach()).square().mean()


def explained_variance(value: Tensor, returns: Tensor) -> Tensor:
    """1 − Var(G − V) / Var G over a batch: 1 where V knows all returns, 0 where it knows no more than their mean.

    Where all returns are the same there is nothing to explain: 0.
    """
    variance = returns.var(correction=0)
    explained = 1.0 - (returns - value).var(correction=0) / variance.clamp_min(1e-12)
    return torch.where(variance > 1e-12, explained, 0.0)


def cql_loss(q_space: Tensor, log_weight: Tensor, q_data: Tensor) -> Tensor:
    """L_CQL / α = Σ_e E_s[ log Σ_a exp Q_e(s,a) − E_{a~D} Q_e(s,a) ] (Kumar et al. 2020, equation 4).

    `q_space` (E, B, N) is at actions that stand for the action space with `log_weight` (B, N); `q_data` is (E, B).
    """
    return ((q_space + log_weight).logsumexp(-1) - q_data).mean(-1).sum()


def likeness(gradients: Tensor) -> Tensor:
    """L_ES = E[ Σ_{i≠j} cos(∇_a Q_i, ∇_a Q_j) / (E − 1) ] of critics' gradients (E, B, d) (An et al. 2021)."""
    directions = gradients / gradients.norm(dim=-1, keepdim=True).clamp_min(1e-10)
    pairs: Tensor = directions.sum(0).square().sum(-1) - directions.square().sum((0, -1))
    return pairs.mean() / (len(gradients) - 1)


def amortized_loss(q: Tensor, kl: Tensor, beta: Tensor) -> Tensor:
    """KL(π_θ ‖ π_final) up to a constant: −E_{a~π_θ}[β Q(s,a)] + KL(π_θ ‖ π_BC).

    `q` is (B, N) at reparameterised actions of π_θ, `kl` (B,) and `beta` a scalar.
    """
    return (kl - beta * q.mean(-1)).mean()
