"""A mixture of squashed Gaussians, and densities of some components of an action, against what they are by hand."""

import math

import pytest
import torch
from torch import Tensor

from rql.method.losses import bc_loss, flow_loss
from rql.nn.distributions import Mixture, SquashedGaussian

MEANS, LOG_STDS = (
    torch.tensor([[-1.0, 0.5], [0.8, -0.3], [0.1, 0.0]]),
    torch.tensor([[-1.0, 0.0], [-0.5, -2.0], [0.3, -0.2]]),
)
LOGITS = torch.tensor([0.2, 1.0, -0.7])
SAMPLES = 200_000


def mixture() -> Mixture:
    """Three Gaussians over two dimensions, in one state."""
    return Mixture(LOGITS[None].double(), SquashedGaussian(MEANS[None].double(), LOG_STDS[None].double()))


def densities(action: Tensor) -> Tensor:
    """Of one action (2,), by component and dimension (3, 2)."""
    found = torch.zeros(3, 2, dtype=torch.float64)
    for component in range(3):
        for dim in range(2):
            std = math.exp(LOG_STDS[component, dim])
            z = (math.atanh(action[dim]) - MEANS[component, dim].item()) / std
            slope = 1.0 - action[dim].item() ** 2
            found[component, dim] = math.exp(-0.5 * z * z) / (std * math.sqrt(2.0 * math.pi) * slope)
    return found


def test_its_density_is_the_weighted_sum_and_a_mask_leaves_dimensions_out() -> None:
    action, weights = torch.tensor([0.3, -0.6], dtype=torch.float64), LOGITS.double().softmax(0)
    for mask, left in (([1.0, 1.0], [0, 1]), ([1.0, 0.0], [0]), ([0.0, 1.0], [1]), ([0.0, 0.0], [])):
        of_each = densities(action)[:, left].prod(1)
        expected = (weights * of_each).sum().log().item()
        assert mixture().log_prob(action[None], torch.tensor([mask]).double()).item() == pytest.approx(expected)
        gaussian = SquashedGaussian(*(one[:, 0] for one in mixture().components))
        masked = gaussian.log_prob(action[None], torch.tensor([mask]).double())
        assert masked.item() == pytest.approx(of_each[0].log().item())
        assert bc_loss(gaussian, action[None], torch.tensor([mask])).item() == pytest.approx(-masked.item())
    assert mixture().log_prob(action[None]).item() == pytest.approx((weights * densities(action).prod(1)).sum().log())


def test_samples_have_its_density() -> None:
    noise = torch.randn((1, SAMPLES, 3), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    samples = mixture().unsqueeze().sample(noise)[0]
    edges = torch.linspace(-1.0, 1.0, 9, dtype=torch.float64)
    counts = torch.histogramdd(samples, [edges, edges]).hist / SAMPLES
    fine = torch.linspace(-1.0, 1.0, 8 * 50 + 1, dtype=torch.float64)
    middles = (fine[1:] + fine[:-1]) / 2.0
    grid = torch.stack(torch.meshgrid(middles, middles, indexing="ij"), -1).reshape(1, -1, 2)
    cells = mixture().unsqueeze().log_prob(grid)[0].exp().reshape(8, 50, 8, 50).sum((1, 3)) * (2.0 / 400) ** 2
    assert cells.sum().item() == pytest.approx(1.0, abs=1e-2)
    assert (counts - cells).abs().amax().item() < 4e-3
    assert (counts > 0.05).sum() >= 3


def test_a_sample_is_finite_and_within_bounds_however_far_out_its_noise_is() -> None:
    for first in (-40.0, -9.0, 9.0, 40.0):
        single = Mixture(torch.tensor([[0.0, -30.0, 0.0]]), SquashedGaussian(MEANS[None], LOG_STDS[None]))
        action = single.sample(torch.tensor([[first, first, 0.0]]))
        assert torch.isfinite(action).all() and action.abs().amax() <= 1.0


def test_its_mode_is_that_of_the_component_that_is_drawn_most_often() -> None:
    assert torch.equal(mixture().mode()[0], MEANS[1].double().tanh())


def test_a_masked_velocity_is_not_learned() -> None:
    velocity, start, action = (torch.randn((4, 3), generator=torch.Generator().manual_seed(n)) for n in range(3))
    mask = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    wrong = [[(velocity[i, j] - action[i, j] + start[i, j]).item() ** 2 for j in range(3 - i)] for i in range(4)]
    assert flow_loss(velocity, start, action, mask).item() == pytest.approx(sum(map(sum, wrong)) / 4, rel=1e-5)
