"""The update of residual Q-learning: what it changes, by how much, and that it is a pure function."""

from typing import Any

import pytest
import torch
from agent_states import first_state
from made_data import transitions
from rql_setup import BATCH, CONTINUOUS, SPACES, Setup, leaves, same, times
from torch.func import functional_call

from rql.envs.spaces import Spaces
from rql.nn.distributions import SquashedGaussian
from rql.optim.adam import gradient_norm


@pytest.mark.parametrize("spaces", SPACES.values(), ids=SPACES)
def test_an_update_is_a_pure_function(spaces: Spaces) -> None:
    setup = Setup(spaces)
    before = torch.utils._pytree.tree_map(lambda leaf: leaf.clone(), setup.state)
    first, second = setup.update(), setup.update()
    assert same(first, second)
    assert same(before, setup.state)
    assert not same(first[0].critic, setup.state.critic)
    assert same(first[0].bc, setup.state.bc)


@pytest.mark.parametrize("aggregate", ["min", "random_min"])
@pytest.mark.parametrize("spaces", SPACES.values(), ids=SPACES)
def test_a_population_trained_by_vmap_is_its_members_trained_alone(spaces: Spaces, aggregate: str) -> None:
    slow = "q.learning_rate=1e-5", "composition=amortized", "composition.learning_rate=1e-5"  # Adam's signs may differ
    setups = [
        Setup(spaces, f"network.critic.aggregate={aggregate}", f"q.discount={g}", *slow, seed=s)
        for s, g in ((0, 0.9), (1, 0.99))
    ]
    alone = [setup.update() for setup in setups]
    inputs = [(s.state, s.hparams, s.batch, s.noise) for s in setups]
    stacked = torch.utils._pytree.tree_map(lambda *parts: torch.stack(parts), *inputs)

    def update(state: Any, hparams: Any, batch: Any, noise: Any) -> Any:
        return setups[0].agent.update(state, batch, noise, hparams)

    together = torch.vmap(update)(*stacked)
    for member, result in enumerate(alone):
        for a, b in zip(leaves(result), leaves(together), strict=True):
            assert torch.allclose(a, b[member], rtol=1e-4, atol=2e-5)


def test_the_td_gradient_is_that_of_a_target_computed_by_hand() -> None:
    """One discrete update without CQL: the TD loss and the step of Adam, written out with autograd."""
    plain = "baseline=none", "cql=off", "target=soft", "beta=constant", "beta.value=0.8", "q.normalize=false"
    setup = Setup(SPACES["discrete"], *plain)
    state, batch = setup.state, setup.batch
    obs, next_obs = state.normalizer(batch.obs), state.normalizer(batch.next_obs)
    every = torch.arange(4).expand(BATCH, 4)
    log_prior = functional_call(setup.policy, state.bc.params, (next_obs,)).logits.log_softmax(-1)
    next_q = functional_call(setup.critics, state.target, (next_obs, every)).amin(0)
    value = (log_prior.exp() * (0.8 * next_q).exp()).sum(-1).log() / 0.8
    target = batch.reward + 0.99 * (1 - batch.terminated) * value
    assert target[0] == batch.reward[0]
    params = {name: p.clone().requires_grad_() for name, p in state.critic.params.items()}
    q = functional_call(setup.critics, params, (obs, every))
    chosen = torch.stack([q[:, i, a] for i, a in enumerate(batch.action)], dim=1)
    loss = ((chosen - target.detach()) ** 2).mean(1).sum()
    loss.backward()
    after, metrics = setup.update()
    assert metrics["td_loss"].item() == pytest.approx(loss.item(), rel=1e-5)
    for name, p in params.items():
        assert p.grad is not None
        first_step = p - setup.hparams.critic_learning_rate * p.grad / (p.grad.abs() + 1e-8)
        clear = p.grad.abs() > 1e-5  # the first step of Adam is the sign of the gradient: rounding has it of the others
        assert clear.any() and torch.allclose(after.critic.params[name][clear], first_step[clear], atol=1e-5)
        moved = state.target[name].lerp(after.critic.params[name], setup.config.q.tau)
        assert torch.allclose(after.target[name], moved)


def test_truncated_transitions_bootstrap_and_terminated_ones_do_not() -> None:
    setup = Setup(CONTINUOUS)
    changed = setup.batch._replace(next_obs=setup.batch.next_obs + 1.0)
    stopped = torch.ones(BATCH)
    end, other_end = (setup.update(batch=b._replace(terminated=stopped))[1]["td_loss"] for b in (setup.batch, changed))
    assert end == other_end
    goes_on, other = (
        setup.update(batch=b._replace(terminated=0 * stopped))[1]["td_loss"] for b in (setup.batch, changed)
    )
    assert goes_on != other


def test_q_r_is_zero_before_it_learns_and_its_scale_is_that_of_q_r_itself_afterwards() -> None:
    setup = Setup(CONTINUOUS, "q.learning_rate=0.01")
    state = setup.agent.start_residual(first_state(setup.agent, CONTINUOUS, transitions(CONTINUOUS)))
    obs = state.normalizer(setup.batch.obs)
    actions = torch.rand((BATCH, 50, 2), generator=torch.Generator().manual_seed(3)) * 2 - 1
    assert (setup.agent.residual.q(state, obs, actions) == 0).all()
    value = state.returns.std * setup.agent.baseline.value(state, obs)
    torch.testing.assert_close(setup.agent.value(state, setup.batch.obs, setup.batch.action), value)
    after, metrics = setup.update(state=state)
    bc = setup.agent.residual.bc(state, obs)
    first = SquashedGaussian(bc.mean[:1].unsqueeze(1), bc.log_std[:1].unsqueeze(1)).sample(setup.noise["scale"])
    difference = setup.agent.residual.q(after, obs[:1], first).diff().item()
    of_two_actions = abs(difference) / 2**0.5
    assert metrics["q_scale"].item() == pytest.approx(of_two_actions, rel=1e-4) and difference != 0


def test_the_scale_is_measured_at_states_of_all_parts_of_a_batch() -> None:
    actions, draws = Setup(CONTINUOUS).agent.actions, torch.Generator().manual_seed(0)
    states = actions.states_for_scale(torch.arange(20).unsqueeze(1))
    assert states.flatten().tolist() == [0, 8, 16]
    assert len(actions.update_noise(20, conservative=False, generator=draws)["scale"]) == 3


@pytest.mark.parametrize("scale", [1e-2, 1e2])
def test_a_normalised_q_makes_beta_independent_of_the_reward_scale(scale: float) -> None:
    setup = Setup(SPACES["discrete"])
    larger = times(setup.state.target, scale)
    scaled = setup.state._replace(target=larger, critic=setup.state.critic._replace(params=larger))
    frozen = setup.hparams._replace(critic_learning_rate=torch.tensor(0.0))
    one, other = (setup.update(state=state, hparams=frozen) for state in (setup.state, scaled))
    assert other[1]["q_scale"].item() == pytest.approx(scale * one[1]["q_scale"].item(), rel=1e-3)
    kls = [setup.agent.diagnose(state, setup.batch, {})["kl"].item() for state, _ in (one, other)]
    assert kls[0] > 1e-3 and kls[1] == pytest.approx(kls[0], rel=1e-3)


def test_the_gradient_of_q_is_limited() -> None:
    updated = (Setup(CONTINUOUS, f"q.max_gradient_norm={limit}").update()[0] for limit in ("1e-3", "1e6"))
    limited, free = (gradient_norm(state.critic).item() for state in updated)
    assert limited == pytest.approx(1e-3, rel=1e-3) and free > 1e-2
