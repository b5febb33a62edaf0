"""π_final as it is followed, measured and sampled."""

from typing import Any

import pytest
import torch
from rql_setup import BATCH, CONTINUOUS, OBS, SPACES, Setup, same, times
from torch.func import functional_call

from rql.agents.rql.composition import Amortized
from rql.envs.spaces import Spaces


def test_the_actor_starts_as_the_clone_and_moves_to_actions_of_higher_value() -> None:
    narrow = "policy.log_std_min=-5", "q.normalize=false", "beta=constant", "beta.value=5"
    setup = Setup(CONTINUOUS, *narrow, "composition.learning_rate=0.01")
    critics = times(setup.state.critic.params, 10.0)
    state = setup.state._replace(target=critics, critic=setup.state.critic._replace(params=critics))
    assert same(state.actor.params, state.bc.params)
    obs = state.normalizer(setup.batch.obs)

    def value_of_the_mode(params: Any) -> float:
        actions = functional_call(setup.policy, params, (obs,)).mode().unsqueeze(1)
        return float(functional_call(setup.critics, critics, (obs, actions)).amin(0).mean())

    frozen = setup.hparams._replace(critic_learning_rate=torch.tensor(0.0), tau=torch.tensor(0.0))
    for _ in range(100):
        state, _ = setup.update(state=state, hparams=frozen)
    assert value_of_the_mode(state.actor.params) > value_of_the_mode(setup.state.actor.params) + 0.05


def test_a_beta_of_zero_keeps_the_actor_at_the_clone() -> None:
    setup = Setup(CONTINUOUS, "beta=constant", "beta.value=0")
    state = setup.state
    for _ in range(20):
        state, metrics = setup.update(state=state)
    assert metrics["kl"].item() < 1e-6


def test_the_diagnosis_is_that_of_the_policy_that_acts() -> None:
    setup = Setup(SPACES["discrete"], "beta=constant", "beta.value=3", "q.normalize=false")
    found = setup.agent.diagnose(setup.state, setup.batch, {})
    obs = setup.state.normalizer(setup.batch.obs)
    prior = functional_call(setup.policy, setup.state.bc.params, (obs,)).log_probs().exp()
    q = functional_call(
        setup.agent.residual.critics, setup.state.critic.params, (obs, torch.arange(4).expand(BATCH, 4))
    ).amin(0)
    final = prior * (3 * q).exp() / (prior * (3 * q).exp()).sum(-1, keepdim=True)
    assert found["kl"].item() == pytest.approx((final * (final / prior).log()).sum(-1).mean().item(), rel=1e-4)
    assert found["ess"].item() == pytest.approx((1 / (final**2 / prior).sum(-1)).mean().item(), rel=1e-4)
    value, std = setup.agent.baseline.value(setup.state, obs), setup.state.returns.std
    assert found["q_policy"].item() == pytest.approx((std * (value + (final * q).sum(-1))).mean().item(), rel=1e-4)
    chosen = setup.batch.action
    assert found["q_data"].item() == pytest.approx((std * (value + q[range(BATCH), chosen])).mean().item(), rel=1e-4)
    assert found["bc_log_prob"].item() == pytest.approx(prior[range(BATCH), chosen].log().mean().item(), rel=1e-4)


@pytest.mark.parametrize("spaces", SPACES.values(), ids=SPACES)
@pytest.mark.parametrize("composition", ["resample", "amortized"])
def test_an_adaptive_beta_is_steered_by_the_kl_of_the_composed_policy(spaces: Spaces, composition: str) -> None:
    setup = Setup(spaces, f"composition={composition}", "beta=kl", "cql=off")
    noise = setup.agent.update_noise(BATCH, setup.hparams, torch.Generator().manual_seed(1))
    frozen = setup.hparams._replace(critic_learning_rate=torch.tensor(0.0), actor_learning_rate=torch.tensor(0.0))
    state, metrics = setup.agent.update(setup.state, setup.batch, noise, frozen)
    before = state._replace(beta=setup.state.beta)
    if isinstance(setup.agent.composition, Amortized):
        obs = state.normalizer(setup.batch.obs)
        actor, bc = (functional_call(setup.policy, p.params, (obs,)) for p in (before.actor, before.bc))
        assert metrics["kl"].item() == pytest.approx(bc.kl_of(actor, actor.mean).mean().item(), abs=1e-6)
    else:
        fixed = Setup(spaces, f"composition={composition}", "beta=constant")
        assert metrics["kl"].item() == pytest.approx(fixed.agent.diagnose(before, setup.batch, noise)["kl"].item())


def test_an_adaptive_beta_grows_while_the_kl_is_within_the_budget() -> None:
    setup = Setup(CONTINUOUS, "beta=kl")
    state, metrics = setup.update()
    assert metrics["kl"] < 0.1 and state.beta > setup.state.beta


@pytest.mark.parametrize("policy", ["bc", "final"])
@pytest.mark.parametrize("composition", ["resample", "amortized", "residual"])
@pytest.mark.parametrize("spaces", SPACES.values(), ids=SPACES)
def test_actions_have_the_right_shape_and_range(spaces: Spaces, composition: str, policy: Any) -> None:
    setup = Setup(spaces, f"composition={composition}")
    for deterministic in (True, False):
        noise = setup.agent.policies[policy].noise(BATCH, torch.Generator().manual_seed(0))
        action = setup.act(policy, setup.batch.obs, noise, deterministic)
        assert action.shape == setup.batch.action.shape and action.dtype == setup.batch.action.dtype
        assert not spaces.action.outside(action.numpy()).any()


def test_with_a_beta_of_zero_the_composed_policy_has_the_mode_of_the_clone() -> None:
    for spaces in SPACES.values():
        setup = Setup(spaces, "composition=resample", "beta=constant", "beta.value=0")
        modes = [setup.act(name, setup.batch.obs, {}, True) for name in ("bc", "final")]
        assert torch.allclose(modes[0].float(), modes[1].float(), atol=1e-6)


def test_the_resampled_policy_acts_as_often_as_the_composition_says() -> None:
    setup = Setup(SPACES["discrete"], "beta=constant", "beta.value=3", "q.normalize=false")
    obs = setup.batch.obs[:1].expand(100_000, OBS)
    noise = setup.agent.policies["final"].noise(100_000, torch.Generator().manual_seed(0))
    action = setup.act("final", obs, noise, deterministic=False)
    normal = setup.state.normalizer(obs[:1])
    prior = functional_call(setup.policy, setup.state.bc.params, (normal,)).log_probs()
    q = functional_call(setup.critics, setup.state.critic.params, (normal, torch.arange(4)[None])).amin(0)
    final = prior.exp() * (3 * q).exp() / (prior.exp() * (3 * q).exp()).sum()
    assert torch.allclose(torch.bincount(action, minlength=4) / 100_000, final[0], atol=6e-3)


def test_the_average_of_the_policys_weights_follows_it_and_acts() -> None:
    setup = Setup(CONTINUOUS, "composition.average_rate=0.25")
    later = setup.state._replace(actor=setup.state.actor._replace(steps=torch.tensor(1000.0)))
    for state, rate in ((later, 0.25), (setup.state, 1 / 1.1)):  # the first update is the mean over a tenth of one
        after, _ = setup.update(state=state)
        for name, old in state.average.items():
            expected = (1 - rate) * old + rate * after.actor.params[name]
            torch.testing.assert_close(after.average[name], expected)
    obs, noise = setup.batch.obs, setup.agent.policies["final"].noise(BATCH, torch.Generator().manual_seed(2))
    elsewhere = after._replace(actor=setup.state.actor)
    for deterministic in (True, False):
        acted = setup.agent.act_final(after, obs, noise, deterministic)
        assert torch.equal(acted, setup.agent.act_final(elsewhere, obs, noise, deterministic))
        policy = functional_call(setup.policy, after.average, (after.normalizer(obs),))
        expected = policy.mode() if deterministic else policy.sample(noise["action"])
        torch.testing.assert_close(acted, expected)


def test_with_a_rate_of_one_the_policy_itself_acts() -> None:
    setup = Setup(CONTINUOUS, "composition.average_rate=1")
    after, _ = setup.update()
    assert all(torch.equal(after.average[name], value) for name, value in after.actor.params.items())
