"""The estimates over continuous actions against numerical integrals in one dimension; schedules."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from rql.method import targets
from rql.method.actions import (
    sample_actions,
    sample_mixture,
    sample_policy,
    sample_prior,
    sample_proposals,
    sample_smoothed,
)
from rql.method.composition import kl_from_prior
from rql.method.losses import amortized_loss, bc_loss, cql_loss
from rql.method.schedules import adapt_beta, completed, cosine, exponential, linear
from rql.nn.distributions import Categorical, ContinuousDistribution, SquashedGaussian, Uniform

# One action dimension: π_BC and Q are known functions, and a fine grid gives every integral.

GRID = torch.linspace(-1 + 1e-6, 1 - 1e-6, 400_001, dtype=torch.float64)
STEP = (GRID[1] - GRID[0]).item()
SAMPLES = 400_000


def q_of(action: Tensor) -> Tensor:
    return 2.0 * torch.sin(3.0 * action) + action


def one_state(mean: float, log_std: float) -> SquashedGaussian:
    return SquashedGaussian(*(torch.tensor([[x]], dtype=torch.float64) for x in (mean, log_std)))


@pytest.fixture
def distributions() -> tuple[SquashedGaussian, SquashedGaussian]:
    return one_state(-0.3, -0.4), one_state(0.6, -1.0)


def normal(count: int, seed: int = 0) -> Tensor:
    return torch.randn((1, count, 1), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def density(distribution: ContinuousDistribution) -> Tensor:
    return distribution.unsqueeze().log_density(GRID.atanh()[None, :, None])[0].exp()


def test_the_squashed_gaussian_has_the_density_of_its_samples(distributions: tuple[SquashedGaussian, ...]) -> None:
    for distribution in distributions:
        assert (density(distribution).sum() * STEP).item() == pytest.approx(1.0, abs=1e-4)
        samples = distribution.unsqueeze().sample(normal(SAMPLES))[0, :, 0]
        assert samples.mean().item() == pytest.approx((density(distribution) * GRID).sum().item() * STEP, abs=5e-3)
        action = torch.tensor([[0.25]], dtype=torch.float64)
        z = (math.atanh(0.25) - distribution.mean) / distribution.log_std.exp()
        by_hand = -0.5 * z**2 - distribution.log_std - 0.5 * math.log(2 * math.pi) - math.log(1 - 0.25**2)
        assert distribution.log_prob(action).item() == pytest.approx(by_hand.item())
        assert bc_loss(distribution, action).item() == pytest.approx(-by_hand.item())


def test_actions_on_the_bound_have_a_finite_log_density() -> None:
    distribution = one_state(0.0, 0.0)
    assert torch.isfinite(distribution.log_prob(torch.tensor([[1.0]], dtype=torch.float64))).all()


def test_the_kl_of_two_squashed_gaussians_is_the_integral(distributions: tuple[SquashedGaussian, ...]) -> None:
    p, q = density(distributions[1]), density(distributions[0])
    integral = (p * (p.clamp_min(1e-300) / q.clamp_min(1e-300)).log()).sum().item() * STEP
    assert distributions[0].kl_of(distributions[1], torch.zeros(1, 1)).item() == pytest.approx(integral, abs=1e-4)


UNIFORM = Uniform(torch.zeros((1, 1), dtype=torch.float64))


def test_the_uniform_law_is_one_of_the_latent_action_too() -> None:
    samples = UNIFORM.unsqueeze().sample(normal(SAMPLES))[0, :, 0]
    counts = torch.histc(samples, 20, -1.0, 1.0) / SAMPLES
    assert torch.allclose(counts, torch.full_like(counts, 0.05), atol=3e-3)
    latent = UNIFORM.unsqueeze().latent(normal(SAMPLES))
    assert torch.allclose(latent.tanh()[0, :, 0], samples, atol=1e-5)
    grid = torch.linspace(-12.0, 12.0, 200_001, dtype=torch.float64)[:, None]
    assert (UNIFORM.latent_log_density(grid).exp().sum() * 24.0 / 200_000).item() == pytest.approx(1.0, abs=1e-4)
    assert (density(UNIFORM).sum() * STEP).item() == pytest.approx(1.0, abs=1e-3)
    assert UNIFORM.log_prob(torch.zeros(5, 3)).tolist() == pytest.approx([-3 * math.log(2.0)] * 5)


def test_the_kl_to_the_uniform_law_and_its_gradient_are_those_of_the_integral() -> None:
    """The estimate from one reparameterised action each; the gradient by finite differences of the integral."""

    def integral(mean: float) -> float:
        p = density(one_state(mean, -0.5))
        return (p * (p.clamp_min(1e-300) / 0.5).log()).sum().item() * STEP

    mean = torch.tensor([[0.6]], dtype=torch.float64, requires_grad=True)
    actor = SquashedGaussian(mean, torch.tensor([[-0.5]], dtype=torch.float64))
    many = SquashedGaussian(*(part.expand(SAMPLES, 1) for part in actor))
    estimate = UNIFORM.kl_of(many, many.latent(normal(SAMPLES)[0])).mean()
    assert estimate.item() == pytest.approx(integral(0.6), abs=0.01)
    estimate.backward()  # type: ignore[no-untyped-call]
    assert mean.grad is not None
    assert mean.grad.item() == pytest.approx((integral(0.601) - integral(0.599)) / 0.002, abs=0.01)


@pytest.mark.parametrize("prior", ["clone", "uniform"])
@pytest.mark.parametrize("beta", [0.5, 2.0])
def test_the_value_of_the_policy_is_the_integral_and_a_lower_bound_of_the_soft_value(
    beta: float, prior: str, distributions: tuple[SquashedGaussian, SquashedGaussian]
) -> None:
    bc, actor = distributions[0] if prior == "clone" else UNIFORM, distributions[1]
    weighted, b = sample_policy(bc, actor, normal(SAMPLES)), torch.tensor(beta, dtype=torch.float64)
    p, q = density(actor), density(bc)
    kl = (p * (p.clamp_min(1e-300) / q.clamp_min(1e-300)).log()).sum().item() * STEP
    expected = (p * q_of(GRID)).sum().item() * STEP - kl / beta
    value = targets.policy_value(q_of(weighted.actions[..., 0]), weighted.log_weight, b).item()
    soft = math.log((q * (beta * q_of(GRID)).exp()).sum().item() * STEP) / beta
    assert value == pytest.approx(expected, abs=0.02) and value < soft
    mean = targets.policy_value(q_of(weighted.actions[..., 0]), weighted.log_weight, torch.zeros(()))
    assert mean.item() == pytest.approx((p * q_of(GRID)).sum().item() * STEP, abs=0.02)
    return_ = targets.return_value(q_of(weighted.actions[..., 0]), weighted.log_weight, b)
    assert return_.item() == mean.item()
    assert weighted.log_weight.logsumexp(-1).item() == pytest.approx(0.0, abs=0.1)


def test_with_a_uniform_prior_and_one_sample_it_is_the_backup_of_soft_actor_critic() -> None:
    actor, beta = one_state(0.6, -1.0), torch.tensor(4.0, dtype=torch.float64)
    weighted = sample_policy(UNIFORM, actor, normal(1))
    action = weighted.actions[:, 0]
    entropy_bonus = -(actor.log_prob(action).item() + math.log(2.0)) / 4.0
    value = targets.policy_value(q_of(weighted.actions[..., 0]), weighted.log_weight, beta)
    assert value.item() == pytest.approx(q_of(action).item() + entropy_bonus, abs=1e-6)


@pytest.mark.parametrize("distribution", ["clone", "uniform"])
@pytest.mark.parametrize("beta", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("proposal", ["prior", "mixture"])
def test_continuous_estimates_converge_to_integrals(
    beta: float, proposal: str, distribution: str, distributions: tuple[SquashedGaussian, SquashedGaussian]
) -> None:
    bc, actor = distributions[0] if distribution == "clone" else UNIFORM, distributions[1]
    noise = normal(SAMPLES)
    weighted = sample_prior(bc, noise) if proposal == "prior" else sample_mixture(bc, actor, noise)
    assert weighted.log_weight.logsumexp(-1).item() == pytest.approx(0.0, abs=1e-9)
    q, b = q_of(weighted.actions[..., 0]), torch.tensor(beta, dtype=torch.float64)
    prior = density(bc)
    tilted = prior * (beta * q_of(GRID)).exp()
    z = tilted.sum().item() * STEP
    final = tilted / z
    mean_q = (final * q_of(GRID)).sum().item() * STEP
    soft = math.log(z) / beta if beta else (prior * q_of(GRID)).sum().item() * STEP
    assert targets.expected_value(q, weighted.log_weight, b).item() == pytest.approx(mean_q, abs=0.02)
    assert targets.soft_value(q, weighted.log_weight, b).item() == pytest.approx(soft, abs=0.02)
    assert kl_from_prior(q, weighted.log_weight, b).item() == pytest.approx(beta * mean_q - math.log(z), abs=0.02)
    assert targets.max_value(q, weighted.log_weight, b).item() == pytest.approx(q_of(GRID).max().item(), abs=1e-3)


def test_errors_of_the_estimates_shrink_with_the_sample(
    distributions: tuple[SquashedGaussian, SquashedGaussian],
) -> None:
    beta = torch.tensor(1.0, dtype=torch.float64)
    exact = math.log((density(distributions[0]) * q_of(GRID).exp()).sum().item() * STEP)

    def error(count: int) -> float:
        samples = [sample_mixture(*distributions, normal(count, seed)) for seed in range(40)]
        values = [targets.soft_value(q_of(s.actions[..., 0]), s.log_weight, beta).item() for s in samples]
        return float(np.sqrt(np.mean((np.array(values) - exact) ** 2)))

    assert error(4_000) < 0.35 * error(40)


@pytest.mark.parametrize("concentrated", [False, True])
def test_the_conservative_integral_is_unbiased_whatever_the_policy(concentrated: bool) -> None:
    policy = one_state(1.5, -3.0) if concentrated else one_state(0.0, 0.0)
    uniform = torch.rand((1, SAMPLES, 1), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    weighted = sample_actions(policy, uniform, normal(SAMPLES))
    exact = q_of(GRID).exp().sum().item() * STEP
    log_sum = (q_of(weighted.actions[..., 0]) + weighted.log_weight).logsumexp(-1)
    assert log_sum.exp().item() == pytest.approx(exact, rel=0.01)
    assert weighted.log_weight.max().item() <= math.log(2.0 / SAMPLES) + 1e-9
    q_data = torch.zeros(1, 1, dtype=torch.float64)
    estimate = cql_loss(q_of(weighted.actions[..., 0])[None], weighted.log_weight, q_data)
    assert estimate.item() == pytest.approx(math.log(exact), abs=0.01)


def test_proposals_that_are_weighted_each_by_itself_give_the_same_integral() -> None:
    uniform = torch.rand((1, SAMPLES, 1), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    noise = torch.stack([normal(SAMPLES), normal(SAMPLES, 1)], dim=1)
    weighted = sample_proposals([one_state(0.0, 0.0), one_state(0.3, 0.3)], uniform, noise)
    values = q_of(weighted.actions[..., 0]) + weighted.log_weight
    exact = q_of(GRID).exp().sum().item() * STEP
    for third in values.chunk(3, dim=-1):
        assert 3.0 * third.logsumexp(-1).exp().item() == pytest.approx(exact, rel=0.03)


def test_the_amortized_loss_differs_from_the_kl_to_the_composition_by_log_z_alone() -> None:
    bc, beta = one_state(-0.3, -0.4), 1.5
    z = (density(bc) * (beta * q_of(GRID)).exp()).sum().item() * STEP
    final = density(bc) * (beta * q_of(GRID)).exp() / z
    for actor in (one_state(0.6, -1.0), one_state(0.0, -0.5)):
        p = density(actor)
        kl_to_final = (p * (p.clamp_min(1e-300) / final.clamp_min(1e-300)).log()).sum().item() * STEP
        q = q_of(actor.unsqueeze().sample(normal(SAMPLES))[..., 0])
        loss = amortized_loss(q, bc.kl_of(actor, torch.zeros(1)), torch.tensor(beta, dtype=torch.float64))
        assert loss.item() == pytest.approx(kl_to_final - math.log(z), abs=0.02)


def test_the_gumbel_trick_samples_the_categorical_law() -> None:
    distribution = Categorical(torch.tensor([0.5, -1.0, 1.0]).expand(200_000, 3))
    uniform = torch.rand((200_000, 3), generator=torch.Generator().manual_seed(0))
    frequencies = torch.bincount(distribution.sample(uniform), minlength=3) / 200_000
    assert torch.allclose(frequencies, distribution.log_probs()[0].exp(), atol=5e-3)


def test_schedules() -> None:
    assert [linear(1.0, 3.0, p) for p in (0.0, 0.25, 1.0)] == [1.0, 1.5, 3.0]
    assert [cosine(1.0, 3.0, p) for p in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 2.0, 3.0])
    assert cosine(0.0, 1.0, 0.25) == pytest.approx(0.5 * (1 - math.cos(math.pi / 4)))
    assert [exponential(1.0, 4.0, p) for p in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 2.0, 4.0])
    assert [completed(step, 10, 20) for step in (0, 10, 15, 20, 99)] == [0.0, 0.0, 0.5, 1.0, 1.0]


def test_an_adaptive_beta_settles_where_the_kl_meets_the_budget() -> None:
    beta, budget = torch.tensor(0.1), torch.tensor(0.5)
    for _ in range(2000):
        kl = 0.5 * beta.square()  # what the KL is to second order
        beta = adapt_beta(beta, kl, budget, torch.tensor(0.01), torch.tensor(100.0))
    assert (0.5 * beta.square()).item() == pytest.approx(0.5, abs=0.01)
    assert adapt_beta(torch.tensor(99.9), torch.tensor(0.0), budget, torch.tensor(1.0), torch.tensor(100.0)) == 100.0


def test_smoothed_actions_give_the_integral_over_the_actions_that_there_are() -> None:
    base = torch.tensor([[[-0.9], [0.2]]], dtype=torch.float64)
    uniform = torch.rand((1, SAMPLES, 1), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    weighted = sample_smoothed(base, 0.15, uniform, normal(SAMPLES))
    found = (q_of(weighted.actions[..., 0]) + weighted.log_weight).logsumexp(-1).item()
    expected = math.log(q_of(GRID).exp().sum().item() * STEP)
    assert found == pytest.approx(expected, abs=0.005)
    assert (weighted.log_weight < -1e5).any() and (weighted.actions.abs() <= 1.0).all()
