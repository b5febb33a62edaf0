"""EXPO: its losses against values that are computed by hand, and how it begins."""

from typing import Any

import pytest
import torch
from agent_states import without_zeros
from small_agents import DIMS, DISCOUNT, ROWS, agent_of, drawn, two_step_batch
from torch import Tensor
from torch.func import functional_call

from rql.config.choices import Aggregate, PolicyClass
from rql.data.batch import Batch


@pytest.fixture
def batch() -> Batch:
    return two_step_batch()


def expo_of(*changes: tuple[str, Any]) -> tuple[Any, Any, dict[str, Tensor]]:
    """EXPO, a state whose policies and critics all differ from their first ones, and the noise of an update."""
    drawing = ("network.critic.aggregate", Aggregate.random_min), ("network.critic.ensemble_size", 5)
    agent, first = agent_of("expo", *drawing, ("agent.scale", 0.4), ("agent.candidates", 3), *changes)
    base = {name: 1.5 * value for name, value in first.bc.params.items()}
    critic = without_zeros(first.critic.params)
    target = {name: 2.0 * value for name, value in critic.items()}
    noise = agent.update_noise(ROWS, agent.hparams("online", 0), torch.Generator().manual_seed(2))
    state = first._replace(base=first.base._replace(params=base), critic=first.critic._replace(params=critic))
    return agent, state._replace(target=target), noise


def expo_chosen(agent: Any, state: Any, obs: Tensor, of_base: Tensor, of_edit: Tensor) -> Tensor:
    """The best by Q of three actions of the base policy and their three edits, row by row."""
    found = []
    for row in range(len(obs)):
        here, candidates = obs[row : row + 1], []
        policy = functional_call(agent.clone.prior.network, state.base.params, (here,))
        for number in range(3):
            base = (policy.mean + policy.log_std.exp() * of_base[row, number]).tanh()
            edits = functional_call(agent.editor, state.edit.params, (here, base.unsqueeze(1)))
            edit = (edits.mean + edits.log_std.exp() * of_edit[row, number]).tanh()[0]
            candidates += [base, (base + 0.4 * edit).clamp(-1.0, 1.0)]
        q = [functional_call(agent.critics, state.critic.params, (here, one.unsqueeze(1))).mean() for one in candidates]
        found.append(candidates[int(torch.stack(q).argmax())])
    return torch.cat(found)


def test_expo_backs_up_what_it_would_do_and_does_what_q_values_most(batch: Batch) -> None:
    agent, state, noise = expo_of()
    action = expo_chosen(agent, state, batch.next_obs, noise["next_base"], noise["next_edit"])
    q = functional_call(agent.critics, state.target, (batch.next_obs, action.unsqueeze(1))).squeeze(-1)
    value = q[noise["subset"].argsort()[:2]].amin(0)
    target = batch.reward + DISCOUNT**2 * (1.0 - batch.terminated) * value
    of_data = functional_call(agent.critics, state.critic.params, (batch.obs, batch.action.unsqueeze(1))).squeeze(-1)
    _, metrics = agent.update(state, batch, noise, agent.hparams("online", 0))
    assert metrics["td_loss"].item() == pytest.approx((of_data - target).square().mean(1).sum().item(), rel=1e-4)
    acting = {name: noise[f"next_{name}"] for name in ("base", "edit")}
    torch.testing.assert_close(agent.policies["policy"].act(state, batch.next_obs, acting, False), action)
    fixed = torch.cat([torch.zeros(1, DIMS), agent._mode_draws]).expand(ROWS, -1, -1)  # the first is the mode
    modes = expo_chosen(agent, state, batch.obs, fixed, torch.zeros(ROWS, 3, DIMS))
    torch.testing.assert_close(agent.policies["policy"].act(state, batch.obs, {}, True), modes)


@pytest.mark.parametrize("policy", [PolicyClass.auto, PolicyClass.mixture, PolicyClass.flow])
def test_expo_acts_as_its_clone_before_it_has_learned(policy: PolicyClass, batch: Batch) -> None:
    agent, state = agent_of("expo", ("policy.name", policy))
    bc, finetuned = (agent.policies[name] for name in ("bc", "policy"))
    torch.testing.assert_close(finetuned.act(state, batch.obs, {}, True), bc.act(state, batch.obs, {}, True))
    noise = finetuned.noise(ROWS, torch.Generator().manual_seed(0))
    sample = finetuned.act(state, batch.obs, noise, False)
    torch.testing.assert_close(sample, bc.act(state, batch.obs, {"action": noise["base"][:, 0]}, False))


def test_expo_edits_up_q_with_entropy_and_its_base_policy_alone_imitates(batch: Batch) -> None:
    agent, state, noise = expo_of(("agent.initial_temperature", 0.3), ("online.utd", 2.0))
    _, online = agent.stages
    assert [update.__name__ for update in online.cycle] == ["update_critic", "update"]
    after, metrics = agent.update(state, batch, noise, agent.hparams("online", 0))
    policy = functional_call(agent.clone.prior.network, state.base.params, (batch.obs,))
    base = (policy.mean + policy.log_std.exp() * noise["base"][:, 0]).tanh().unsqueeze(1)
    edit, log_prob = drawn(functional_call(agent.editor, state.edit.params, (batch.obs, base)), noise["edit"])
    edited = (base + 0.4 * edit).clamp(-1.0, 1.0)
    q = functional_call(agent.critics, after.critic.params, (batch.obs, edited)).mean(0)
    assert metrics["actor_loss"].item() == pytest.approx((0.3 * log_prob.view(q.shape) - q).mean().item(), rel=1e-4)
    assert metrics["imitation_loss"].item() == pytest.approx(-policy.log_prob(batch.action).mean().item(), rel=1e-4)
    excess = -log_prob.mean().item() + 0.5 * DIMS
    assert metrics["temperature_loss"].item() == pytest.approx(0.3 * excess, rel=1e-4)
    assert all(torch.equal(after.bc.params[name], value) for name, value in state.bc.params.items())
    assert not torch.equal(after.base.params["net.0.weight"], state.base.params["net.0.weight"])
    entered = online.enter(state)
    assert all(torch.equal(entered.base.params[name], value) for name, value in state.bc.params.items())
