"""`composition=residual`: actions of π_BC, corrected."""

from typing import Any

import pytest
import torch
from rql_setup import BATCH, CONTINUOUS, Setup, times
from torch import Tensor
from torch.func import functional_call

from rql.agents.rql.correction import Corrected
from rql.method.composition import correction_kl
from rql.method.targets import td_target

WIDTH, SCALE = 0.15, 0.4
RESIDUAL = ["composition=residual", f"composition.width={WIDTH}", f"composition.scale={SCALE}", "cql=off"]
POLICY = [*RESIDUAL, "target=policy", "target.num_samples=5", "beta=constant", "beta.value=2", "q.normalize=false"]


def corrected(setup: Setup) -> Corrected:
    assert isinstance(setup.agent.composition, Corrected)
    return setup.agent.composition


def clone(setup: Setup, obs: Tensor) -> Any:
    return functional_call(setup.policy, setup.state.bc.params, (setup.state.normalizer(obs),))


def delta(setup: Setup, params: Any, obs: Tensor, base: Tensor) -> Tensor:
    """δ_θ at one action for each observation."""
    found: Tensor = functional_call(corrected(setup).correction, params, (setup.state.normalizer(obs), base))
    return found


def unlike_the_clone(setup: Setup) -> Any:
    """Parameters of δ_θ with an output that is not 0."""
    generator = torch.Generator().manual_seed(3)
    return {name: torch.randn(value.shape, generator=generator) for name, value in setup.state.actor.params.items()}


def test_the_bound_of_the_kl_holds_for_mixtures_and_is_the_kl_for_one_base_action() -> None:
    grid = torch.linspace(-4.0, 4.0, 80_001, dtype=torch.float64)

    def mixture(centers: Tensor) -> Tensor:
        parts: Tensor = torch.exp(-0.5 * ((grid[:, None] - centers) / WIDTH) ** 2) / (WIDTH * (2 * torch.pi) ** 0.5)
        density: Tensor = parts.mean(1)
        return density

    def kl(base: Tensor, correction: Tensor) -> float:
        p, q = mixture(base + correction), mixture(base)
        return float((p * (p.clamp_min(1e-300) / q.clamp_min(1e-300)).log()).sum() * (grid[1] - grid[0]))

    one, several = torch.tensor([0.3], dtype=torch.float64), torch.tensor([-0.5, 0.0, 0.1], dtype=torch.float64)
    for correction in (0.1, -0.3):
        bound = correction_kl(torch.tensor([correction]), WIDTH).item()
        assert kl(one, torch.tensor([correction], dtype=torch.float64)) == pytest.approx(bound, rel=1e-4)
    moved = torch.tensor([0.1, -0.1, 0.2], dtype=torch.float64)
    assert 0.0 < kl(several, moved) < float(correction_kl(moved.unsqueeze(-1), WIDTH).mean())


def test_it_begins_as_the_clone_and_is_bounded() -> None:
    setup = Setup(CONTINUOUS, *RESIDUAL)
    obs, policy = setup.batch.obs, setup.agent.policies["final"]
    noise = policy.noise(BATCH, torch.Generator().manual_seed(0))
    bc = clone(setup, obs)
    assert torch.equal(policy.act(setup.state, obs, {}, True), bc.mode())
    sample = (bc.sample(noise["action"]) + WIDTH * noise["width"]).clamp(-1.0, 1.0)
    torch.testing.assert_close(policy.act(setup.state, obs, noise, False), sample)
    far = setup.state._replace(average=times(unlike_the_clone(setup), 100.0))
    moved = policy.act(far, obs, {}, True)
    distance = (moved - bc.mode()).abs()
    assert distance.amax() <= SCALE + 1e-6 and (distance > 0.9 * SCALE).any() and moved.abs().amax() <= 1.0
    torch.testing.assert_close(moved, (bc.mode() + delta(setup, far.average, obs, bc.mode())).clamp(-1.0, 1.0))


def test_its_loss_is_the_bound_minus_beta_q_at_the_corrected_action() -> None:
    setup = Setup(CONTINUOUS, *POLICY)
    actor = setup.state.actor._replace(params=unlike_the_clone(setup))
    state = setup.state._replace(actor=actor)
    obs, noise = setup.batch.obs, setup.noise
    base = clone(setup, obs).sample(noise["base"].squeeze(1))
    correction = delta(setup, actor.params, obs, base)
    after, metrics = setup.update(state=state)
    action = (base + correction + WIDTH * noise["actor"].squeeze(1)).clamp(-1.0, 1.0)
    critics = after.critic.params  # Q_R learns first
    q = functional_call(setup.critics, critics, (setup.state.normalizer(obs), action.unsqueeze(1))).amin(0).squeeze(-1)
    kl = (correction.square() / (2 * WIDTH**2)).sum(-1)
    assert metrics["kl"].item() == pytest.approx(kl.mean().item(), rel=1e-5)
    assert metrics["actor_loss"].item() == pytest.approx((kl - 2.0 * q).mean().item(), rel=1e-5)
    assert metrics["correction"].item() == pytest.approx(correction.abs().mean().item(), rel=1e-5)


def test_its_target_is_the_value_of_corrected_actions_less_their_kl() -> None:
    setup = Setup(CONTINUOUS, *POLICY)
    state = setup.state._replace(actor=setup.state.actor._replace(params=unlike_the_clone(setup)))
    batch, noise = setup.batch, setup.noise
    values = []
    for sample in range(5):
        base = clone(setup, batch.next_obs).sample(noise["prior"][:, sample])
        correction = delta(setup, state.actor.params, batch.next_obs, base)
        action = (base + correction + WIDTH * noise["width"][:, sample]).clamp(-1.0, 1.0).unsqueeze(1)
        next_obs = state.normalizer(batch.next_obs)
        q = functional_call(setup.critics, state.target, (next_obs, action)).amin(0).squeeze(-1)
        values.append(q - (correction.square() / (2 * WIDTH**2)).sum(-1) / 2.0)
    std = state.returns.std
    following = torch.stack(values).mean(0) + setup.agent.baseline.value(state, state.normalizer(batch.next_obs))
    expected = std * td_target(batch.reward / std, batch.terminated, following, torch.tensor(0.99)).mean()
    assert setup.update(state=state)[1]["target"].item() == pytest.approx(expected.item(), rel=1e-4)


def test_other_targets_and_the_scale_of_q_are_of_the_smoothed_clone() -> None:
    setup = Setup(CONTINUOUS, *RESIDUAL, "target=prior", "target.num_samples=2", "beta=constant")
    state = setup.state._replace(actor=setup.state.actor._replace(params=unlike_the_clone(setup)))
    obs, noise = state.normalizer(setup.batch.obs), setup.noise
    bc = functional_call(setup.policy, state.bc.params, (obs,))
    wide = bc.unsqueeze().sample(noise["prior"]) + WIDTH * noise["width"]
    found = setup.agent.composition.target_actions(state, obs, bc, noise)
    torch.testing.assert_close(found.actions, wide.clamp(-1.0, 1.0))
    assert found.log_weight.exp().sum(-1).tolist() == pytest.approx([1.0] * BATCH)
    few = setup.agent.actions.states_for_scale(obs)
    bc = functional_call(setup.policy, state.bc.params, (few,))
    found = setup.agent.composition.scale_actions(bc, noise)
    scale = bc.unsqueeze().sample(noise["scale"])
    torch.testing.assert_close(found.actions, (scale + WIDTH * noise["scale_width"]).clamp(-1.0, 1.0))


def test_corrections_move_to_actions_of_higher_value_and_stay_at_0_without_beta() -> None:
    means = {}
    for beta in (0.0, 5.0):
        setup = Setup(CONTINUOUS, *POLICY, f"beta.value={beta}", "composition.learning_rate=0.01")
        critics = times(setup.state.critic.params, 10.0)
        state = setup.state._replace(target=critics, critic=setup.state.critic._replace(params=critics))
        frozen = setup.hparams._replace(critic_learning_rate=torch.tensor(0.0), tau=torch.tensor(0.0))
        for _ in range(100):
            state, metrics = setup.update(state=state, hparams=frozen)
        obs = setup.batch.obs
        action = setup.agent.act_final(state, obs, {}, True).unsqueeze(1)
        q = functional_call(setup.critics, critics, (state.normalizer(obs), action)).amin(0)
        means[beta] = q.mean().item()
        assert metrics["correction"] == 0.0 if beta == 0.0 else metrics["correction"] > 0.05
    assert means[5.0] > means[0.0] + 0.05
