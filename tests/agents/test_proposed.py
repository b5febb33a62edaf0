"""Residual Q-learning where the prior is known by what it proposes."""

import math
from typing import Any

import pytest
import torch
from rql_setup import BATCH, CONTINUOUS, Setup, same, times
from torch import Tensor
from torch.func import functional_call

from rql.agents.rql.correction import Corrected
from rql.method.targets import td_target

GIVEN = ["prior=run", "prior.run=x", "prior.mode=sample", "bc.updates=0", "baseline=mean", "beta=constant"]
COMMON = [*GIVEN, "beta.value=2", "q.normalize=false"]
CORRECTED = [*COMMON, "composition=residual", "target=return", "target.num_samples=3"]
RESAMPLED = [*COMMON, "composition=resample", "composition.num_candidates=4", "cql=off"]


def setup_of(proposals: int, *overrides: str) -> tuple[Setup, Tensor, Tensor]:
    """A setup with a batch that has proposals, and those at both of its states."""
    setup = Setup(CONTINUOUS, *overrides)
    draws = torch.Generator().manual_seed(5)
    at, after = (2.0 * torch.rand((BATCH, proposals, 2), generator=draws) - 1.0 for _ in range(2))
    setup.batch = setup.batch._replace(extra={"proposals": at, "next_proposals": after})
    return setup, at, after


def q_of(setup: Setup, params: Any, obs: Tensor, actions: Tensor) -> Tensor:
    values: Tensor = functional_call(setup.critics, params, (setup.state.normalizer(obs), actions)).amin(0)
    return values


def expected_target(setup: Setup, value: Tensor) -> Tensor:
    std, batch = setup.state.returns.std, setup.batch
    following = value + setup.agent.baseline.value(setup.state, setup.state.normalizer(batch.next_obs))
    target: Tensor = std * td_target(batch.reward / std, batch.terminated, following, torch.tensor(0.99)).mean()
    return target


def test_the_target_of_a_correction_is_on_what_is_proposed_at_the_next_state() -> None:
    setup, _, after = setup_of(1, *CORRECTED, "cql=off")
    composition = setup.agent.composition
    assert isinstance(composition, Corrected)
    generator = torch.Generator().manual_seed(3)
    actor = {name: torch.randn(one.shape, generator=generator) for name, one in setup.state.actor.params.items()}
    state = setup.state._replace(actor=setup.state.actor._replace(params=actor))
    obs = state.normalizer(setup.batch.next_obs)
    correction = functional_call(composition.correction, actor, (obs, after[:, 0])).unsqueeze(1)
    actions = (after + correction + composition.width * setup.noise["width"]).clamp(-1.0, 1.0)
    value = q_of(setup, state.target, setup.batch.next_obs, actions).mean(-1)
    found = setup.update(state=state)[1]["target"].item()
    assert found == pytest.approx(expected_target(setup, value).item(), rel=1e-4)
    assert correction.abs().amax() > 0.01


def test_the_prior_is_not_learned_and_what_is_proposed_at_the_state_moves_the_correction() -> None:
    setup, at, _ = setup_of(1, *CORRECTED)
    critics = times(setup.state.critic.params, 10.0)
    state = setup.state._replace(critic=setup.state.critic._replace(params=critics))
    other = setup.batch.extra | {"proposals": -at}
    one, two = (setup.update(state=state, batch=batch)[0] for batch in (setup.batch, setup.batch._replace(extra=other)))
    assert not state.bc.params and not one.bc.params
    assert not same(one.actor, two.actor) and not same(one.actor, state.actor)


def test_candidates_are_what_is_proposed() -> None:
    setup, at, after = setup_of(4, *RESAMPLED, "target=soft")
    q = q_of(setup, setup.state.target, setup.batch.next_obs, after)
    value = ((2.0 * q).logsumexp(-1) - math.log(4)) / 2.0
    assert setup.update()[1]["target"].item() == pytest.approx(expected_target(setup, value).item(), rel=1e-4)
    obs = setup.batch.obs
    best = q_of(setup, setup.state.critic.params, obs, at).argmax(-1)
    chosen = setup.act("final", obs, {"proposals": at}, True)
    assert torch.equal(chosen, at[torch.arange(BATCH), best]) and len(set(best.tolist())) > 1
    assert torch.equal(setup.act("bc", obs, {"proposals": at}, True), at[:, 0])
    noise = setup.agent.policies["final"].noise(BATCH, torch.Generator().manual_seed(0))
    sampled = setup.act("final", obs, noise | {"proposals": at}, False)
    assert (sampled.unsqueeze(1) == at).all(-1).any(-1).all()


def test_the_conservative_term_has_the_density_of_the_smoothed_prior() -> None:
    """Of many samples it is log ∫ exp Q da − Q(s, a), as a grid gives it, summed over critics."""
    setup, *_ = setup_of(1, *CORRECTED, "cql.alpha=1", "cql.num_samples=20000")
    found = setup.update()[1]["cql_loss"].item()
    line = torch.linspace(-1.0, 1.0, 201)[:-1] + 0.005
    grid = torch.cartesian_prod(line, line).expand(BATCH, -1, -1)
    q = functional_call(
        setup.critics,
        setup.state.critic.params,
        (setup.state.normalizer(setup.batch.obs), torch.cat([setup.batch.action.unsqueeze(1), grid], dim=1)),
    )
    expected = ((q[..., 1:].logsumexp(-1) + 2.0 * math.log(0.01)) - q[..., 0]).mean(1).sum().item()
    assert found == pytest.approx(expected, abs=0.03)
