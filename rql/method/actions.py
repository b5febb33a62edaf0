"""Weighted sets of actions that stand for an expectation under π_BC, or for an integral over the action space."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rql.nn.distributions import Categorical, ContinuousDistribution, SquashedGaussian

OUTSIDE = -1e6
"""The logarithm of a weight of nothing, which arithmetic can go on with."""


class WeightedActions(NamedTuple):
    """N actions for each of B states, and the logarithm of the weight of each."""

    actions: Tensor
    """(B, N) int64 for discrete actions, (B, N, d) in [−1, 1] for continuous ones."""
    log_weight: Tensor
    """(B, N)."""


def enumerate_prior(bc: Categorical) -> WeightedActions:
    """Every discrete action a with weight π_BC(a|s): Σ_i w_i f(a_i) = E_{a~π_BC} f(a), exactly."""
    return WeightedActions(_all_actions(bc), bc.log_probs())


def enumerate_actions(bc: Categorical) -> WeightedActions:
    """Every discrete action with weight 1: Σ_i w_i f(a_i) = Σ_a f(a), exactly."""
    return WeightedActions(_all_actions(bc), torch.zeros_like(bc.logits))


def sample_prior(bc: ContinuousDistribution, noise: Tensor) -> WeightedActions:
    """N actions of π_BC with equal weights that sum to 1, from standard normal `noise` (B, N, d).

    Σ_i w_i f(a_i) estimates E_{a~π_BC} f(a) without bias. Functions of such sums (the logarithm in the soft value,
    the normaliser of π_final) have a bias of order 1/N; an action that π_BC never proposes is never considered.
    """
    actions = bc.unsqueeze().sample(noise)
    return WeightedActions(actions, torch.full_like(noise[..., 0], -math.log(noise.shape[-2])))


def sample_mixture(bc: ContinuousDistribution, actor: SquashedGaussian, noise: Tensor) -> WeightedActions:
    """As `sample_prior`, but the first half of the N actions comes from π_BC and the second from π_θ.

    The weights are w ∝ π_BC(a) / (½ π_BC(a) + ½ π_θ(a)), normalised to sum to 1 (self-normalised importance
    sampling with the balance heuristic, Veach & Guibas 1995). Before normalisation none exceeds 2, however far π_θ
    is from π_BC. The bias is of order 1/N, and π_θ puts actions where π_final has its mass.
    """
    half = noise.shape[-2] // 2
    wide_bc, wide_actor = bc.unsqueeze(), actor.unsqueeze()
    latent = torch.cat([wide_bc.latent(noise[..., :half, :]), wide_actor.latent(noise[..., half:, :])], dim=-2)
    log_bc, log_actor = wide_bc.latent_log_density(latent), wide_actor.latent_log_density(latent)
    share = half / noise.shape[-2]
    log_proposal = torch.logaddexp(log_bc + math.log(share), log_actor + math.log1p(-share))
    return WeightedActions(latent.tanh(), (log_bc - log_proposal).log_softmax(-1))


def sample_policy(bc: ContinuousDistribution, actor: SquashedGaussian, noise: Tensor) -> WeightedActions:
    """N actions of π_θ with weights π_BC(a) / (N π_θ(a)), from standard normal `noise` (B, N, d).

    Σ_i w_i f(a_i) estimates E_{a~π_BC} f(a) without bias, and with a variance that grows with KL(π_θ ‖ π_BC). The
    weights sum to 1 on average only.
    """
    wide_bc, wide_actor = bc.unsqueeze(), actor.unsqueeze()
    latent = wide_actor.latent(noise)
    ratio = wide_bc.latent_log_density(latent) - wide_actor.latent_log_density(latent)
    return WeightedActions(latent.tanh(), ratio - math.log(noise.shape[-2]))


def sample_actions(policy: ContinuousDistribution, uniform: Tensor, noise: Tensor) -> WeightedActions:
    """M uniform actions and M of `policy`, weighted for integrals: Σ_i w_i f(a_i) estimates ∫ f(a) da over [−1, 1]^d.

    `uniform` (B, M, d) lies in [0, 1), `noise` (B, M, d) is standard normal. The proposals are those of Kumar et al.
    2020 (appendix F); with the balance heuristic, w = 1 / (2M (½ 2^−d + ½ π(a))), so that no weight exceeds
    2^d / M. The estimate of the integral is unbiased, its logarithm is too low by O(1/M).
    """
    half, dims = noise.shape[-2:]
    wide = policy.unsqueeze()
    flat = ((2.0 * uniform - 1.0) * (1.0 - 1e-6)).atanh()
    latent = torch.cat([flat, wide.latent(noise)], dim=-2)
    log_density = torch.logaddexp(wide.log_density(latent), torch.full_like(latent[..., 0], -dims * math.log(2.0)))
    return WeightedActions(latent.tanh(), -log_density + math.log(2.0) - math.log(2 * half))


def sample_smoothed(base: Tensor, width: float, uniform: Tensor, noise: Tensor) -> WeightedActions:
    """As `sample_actions`, with M actions of π_σ(a) = (1/K) Σ_k N(a; b_k, σ²) for K actions b_k, `base` (B, K, d).

    Those that fall outside of [−1, 1]^d count for nothing: the integral does not reach there.
    """
    half, dims = noise.shape[-2:]
    chosen = base[..., torch.arange(half, device=base.device) % base.shape[-2], :]
    actions = torch.cat([2.0 * uniform - 1.0, chosen + width * noise], dim=-2)
    distance = (actions.unsqueeze(-2) - base.unsqueeze(-3)).square().sum(-1) / (2.0 * width**2)
    normaliser = dims * math.log(width * math.sqrt(2.0 * math.pi)) + math.log(base.shape[-2])
    smoothed = (-distance).logsumexp(-1) - normaliser
    log_density = torch.logaddexp(smoothed, torch.full_like(smoothed, -dims * math.log(2.0)))
    inside = (actions.abs() <= 1.0).all(-1)
    log_weight = torch.where(inside, -log_density + math.log(2.0) - math.log(2 * half), OUTSIDE)
    return WeightedActions(actions.clamp(-1.0, 1.0), log_weight)


def sample_proposals(policies: Sequence[SquashedGaussian], uniform: Tensor, noise: Tensor) -> WeightedActions:
    """M uniform actions and M of each of K policies, weighted for integrals as Kumar et al. 2020 do (appendix F).

    `uniform` (B, M, d) lies in [0, 1), `noise` (B, K, M, d) is standard normal. The weight of an action is one over the
    density of its own proposal p, w = 1 / ((K + 1) M p(a)): Σ_i w_i f(a_i) estimates ∫ f(a) da over [−1, 1]^d without
    bias, with a variance that nothing bounds where a policy has little density. `sample_actions` bounds it.
    """
    count, dims = uniform.shape[-2:]
    latents = [policy.unsqueeze().latent(noise[..., index, :, :]) for index, policy in enumerate(policies)]
    densities = [policy.unsqueeze().log_density(latent) for policy, latent in zip(policies, latents, strict=True)]
    flat = torch.full_like(uniform[..., 0], -dims * math.log(2.0))
    actions = torch.cat([2.0 * uniform - 1.0, *(latent.tanh() for latent in latents)], dim=-2)
    return WeightedActions(actions, -torch.cat([flat, *densities], dim=-1) - math.log((len(policies) + 1) * count))


def _all_actions(bc: Categorical) -> Tensor:
    count = bc.logits.shape[-1]
    return torch.arange(count, device=bc.logits.device).expand(bc.logits.shape)
