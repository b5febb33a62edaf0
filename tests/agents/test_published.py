"""The published agents: their losses against values that are computed by hand, and what each has for itself."""

import math
from typing import Any

import pytest
import torch
from agent_states import without_zeros
from small_agents import DIMS, DISCOUNT, OBS, ROWS, agent_of, drawn, two_step_batch
from torch import Tensor
from torch.distributions import Normal
from torch.func import functional_call

from rql.config.choices import Aggregate
from rql.data.batch import MC_RETURN, NEXT_ACTION, Batch


def noise_of(agent: Any) -> dict[str, Tensor]:
    """The random numbers of an update."""
    stage = agent.stages[0]
    noise: dict[str, Tensor] = stage.noise(ROWS, agent.hparams(stage.info.name, 0), torch.Generator().manual_seed(2))
    return noise


@pytest.fixture
def batch() -> Batch:
    return two_step_batch()


def test_rebrac_pays_for_the_distance_to_the_next_action_where_there_is_one(batch: Batch) -> None:
    found = []
    for weight in (0.0, 0.7):
        agent, state = agent_of("rebrac", ("agent.critic_penalty", weight), ("agent.policy_noise", 0.0))
        _, metrics = agent.update_critic(state, batch, noise_of(agent), agent.hparams("offline", 0))
        found.append(metrics["target"].item())
    distance = (agent.actor(batch.next_obs) - batch.extra[NEXT_ACTION]).square().sum(-1)
    assert found[0] - found[1] == pytest.approx(DISCOUNT**2 * 0.7 * distance[2:].sum().item() / ROWS, rel=1e-4)


def test_the_penalties_of_rebrac_fall_online_after_the_warm_up(batch: Batch) -> None:
    agent, _ = agent_of("rebrac", ("agent.actor_penalty", 0.4), ("agent.online_share", 0.5), ("online.env_steps", 100))
    weights = [agent.hparams(*at).actor_weight.item() for at in (("offline", 50), ("online", 45), ("online", 90))]
    assert weights == pytest.approx([0.4, 0.3, 0.2])


@pytest.mark.parametrize("backup", [True, False])
def test_the_target_of_sac_is_soft_and_that_of_an_end_is_the_reward(backup: bool, batch: Batch) -> None:
    agent, state = agent_of("sac", ("agent.backup_entropy", backup), ("agent.initial_temperature", 0.3))
    noise = noise_of(agent)
    action, log_prob = drawn(agent.actor(batch.next_obs), noise["next_action"])
    value = agent.critics(batch.next_obs, action.unsqueeze(1)).squeeze(-1).amin(0) - 0.3 * log_prob * backup
    expected = batch.reward + DISCOUNT**2 * value * torch.tensor([0.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    _, metrics = agent.update(state, batch, noise, agent.hparams("online", 0))
    values = agent.critics(batch.obs, batch.action.unsqueeze(1)).squeeze(-1)
    assert metrics["td_loss"].item() == pytest.approx((values - expected).square().mean(-1).sum().item(), rel=1e-4)


def test_the_policy_and_the_temperature_of_sac_follow_their_losses(batch: Batch) -> None:
    agent, state = agent_of("sac", ("agent.initial_temperature", 0.3), ("agent.target_entropy", -0.5))
    noise, hparams = noise_of(agent), agent.hparams("online", 0)
    after, metrics = agent.update(state, batch, noise, hparams)
    action, log_prob = drawn(agent.actor(batch.obs), noise["action"])
    q = agent.q(after.critic.params, batch.obs, action).amin(0)
    assert metrics["actor_loss"].item() == pytest.approx((0.3 * log_prob - q).mean().item(), rel=1e-4)
    excess = -log_prob.mean().item() + 0.5 * DIMS
    assert metrics["temperature_loss"].item() == pytest.approx(0.3 * excess, rel=1e-4)
    step = after.temperature.params["log"].item() - math.log(0.3)
    assert step == pytest.approx(-math.copysign(3e-4, excess), rel=1e-2)


def test_sac_explores_at_random_first_and_its_policy_learns_once_an_environment_step(batch: Batch) -> None:
    agent, state = agent_of("sac", ("online.utd", 4.0))
    (stage,) = agent.stages
    assert stage.warmup_policy == "random" and len(stage.cycle) == 4
    moved = []
    for update in stage.cycle:
        after, _ = update(state, batch, noise_of(agent), agent.hparams("online", 0))
        moved.append([after.critic.steps.item(), after.actor.steps.item(), after.temperature.steps.item()])
    assert moved == [[1, 0, 0]] * 3 + [[1, 1, 1]]
    random = agent.policies["random"]
    noise = random.noise(4_000, torch.Generator().manual_seed(0))
    actions = random.act(state, torch.zeros(4_000, OBS), noise, False)
    assert actions.abs().max() <= 1.0 and actions.std().item() == pytest.approx(3**-0.5, abs=0.02)


def test_critics_that_are_drawn_give_the_target_and_their_mean_moves_the_policy(batch: Batch) -> None:
    drawing = ("network.critic.aggregate", Aggregate.random_min), ("network.critic.ensemble_size", 5)
    agent, state = agent_of("sac", *drawing, ("agent.backup_entropy", False))
    noise = noise_of(agent)
    action, _ = drawn(agent.actor(batch.next_obs), noise["next_action"])
    q = agent.critics(batch.next_obs, action.unsqueeze(1)).squeeze(-1)
    two = noise["subset"].argsort()[:2]
    assert torch.allclose(agent.next_value(state, batch, noise), q[two].amin(0), atol=1e-6)
    assert torch.allclose(agent.value(state, batch.next_obs, action), q.mean(0), atol=1e-6)


@pytest.mark.parametrize("name", ["cql", "cal_ql"])
def test_the_conservative_term_is_the_integral_over_its_proposals(name: str, batch: Batch) -> None:
    agent, state = agent_of(name, ("agent.num_samples", 3))
    noise = noise_of(agent)
    _, metrics = agent.update(state, batch, noise, agent.hparams("offline", 0))
    total = 0.0
    for row in range(ROWS):
        obs, sums = batch.obs[row : row + 1], torch.zeros(2)
        for sample in range(3):
            candidates = [(2.0 * noise["space_uniform"][row, sample] - 1.0, torch.tensor(DIMS * math.log(0.5)))]
            for number, where in enumerate((obs, batch.next_obs[row : row + 1])):
                candidates.append(drawn(agent.actor(where), noise["space_normal"][row, number, sample]))
            for number, (action, log_density) in enumerate(candidates):
                q = agent.critics(obs, action.view(1, 1, DIMS)).flatten()
                if name == "cal_ql" and number > 0:
                    q = q.clamp_min(batch.extra[MC_RETURN][row])
                sums += (q - log_density).exp() / 9.0
        data = agent.critics(obs, batch.action[row].view(1, 1, DIMS)).flatten()
        total += (sums.log() - data).sum().item() / ROWS
    assert metrics["cql_loss"].item() == pytest.approx(total, rel=1e-4)


def test_without_a_conservative_term_online_cal_ql_is_soft_actor_critic(batch: Batch) -> None:
    """What WSRL does: no data and no conservatism after the offline stage."""
    agent, state = agent_of("cal_ql", ("agent.online_alpha", 0.0))
    other, _ = agent_of("sac", ("agent.backup_entropy", False), ("agent.actor_learning_rate", 1e-4))
    online, noise = agent.stages[1], noise_of(other)
    after = online.cycle[0](state, batch, noise, agent.hparams("online", 0))[0]
    expected = other.update(state, batch, noise, other.hparams("online", 0))[0]
    for one, same in zip((after.critic, after.actor), (expected.critic, expected.actor), strict=True):
        assert all(torch.equal(one.params[key], same.params[key]) for key in one.params)


def test_awac_weighs_actions_by_their_advantage(batch: Batch) -> None:
    agent, state = agent_of("awac", ("agent.temperature", 0.2))
    noise = noise_of(agent)
    after, metrics = agent.update(state, batch, noise, agent.hparams("offline", 0))
    policy = agent.actor(batch.obs)
    own = (policy.mean + policy.log_std.exp() * noise["action"]).clamp(-1.0, 1.0)
    q_data, q_own = (agent.value(after, batch.obs, action) for action in (batch.action, own))
    weight = ((q_data - q_own) / 0.2).exp()
    law: Any = Normal(policy.mean, policy.log_std.exp())
    log_prob = law.log_prob(batch.action).sum(-1)
    expected = -(weight / weight.mean() * log_prob).mean().item()
    assert metrics["actor_loss"].item() == pytest.approx(expected, rel=1e-4)


def test_edac_penalises_critics_whose_gradients_point_the_same_way(batch: Batch) -> None:
    agent, state = agent_of("edac", ("network.critic.ensemble_size", 3))
    _, metrics = agent.update(state, batch, noise_of(agent), agent.hparams("offline", 0))
    action = batch.action.clone().requires_grad_()
    q = agent.critics(batch.obs, action.unsqueeze(1)).sum((1, 2))
    slopes = [torch.autograd.grad(member, action, retain_graph=True)[0] for member in q]
    pairs = [torch.cosine_similarity(slopes[i], slopes[j]) for i in range(3) for j in range(3) if i != j]
    expected = torch.stack(pairs).sum(0).mean().item() / 2
    assert metrics["likeness"].item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["sac", "cql", "cal_ql", "edac"])
def test_a_policy_can_be_as_narrow_as_its_target_entropy_asks(name: str) -> None:
    """A normal distribution of standard deviation σ has an entropy of log σ + ½ log 2πe."""
    agent, _ = agent_of(name)
    narrowest = agent.actor.log_std_min + 0.5 * math.log(2 * math.pi * math.e)
    assert agent.dims * narrowest < agent.hparams("online", 0).target_entropy.item() - 1.0


def test_resfit_corrects_the_mode_of_its_clone_and_its_losses_are_those_of_td3(batch: Batch) -> None:
    drawing = ("network.critic.aggregate", Aggregate.random_min), ("network.critic.ensemble_size", 5)
    agent, first = agent_of("resfit", *drawing, ("agent.scale", 0.4), ("agent.noise", 0.5), ("online.utd", 2.0))
    _, online = agent.stages
    assert [update.__name__ for update in online.cycle] == ["update_critic", "update"]
    clone = agent.clone.prior.network
    state = first._replace(actor=first.actor._replace(params=without_zeros(first.actor.params)))
    state = state._replace(actor_target={name: 2.0 * value for name, value in state.actor.params.items()})
    noise = online.noise(ROWS, agent.hparams("online", 0), torch.Generator().manual_seed(2))

    def corrected(params: Any, obs: Tensor) -> Tensor:
        base = clone(obs).mode()
        action: Tensor = base + functional_call(agent.correction, params, (obs, base))
        return action

    action = corrected(state.actor_target, batch.next_obs) + (0.5 * noise["target"]).clamp(-0.3, 0.3)
    q = agent.critics(batch.next_obs, action.clamp(-1.0, 1.0).unsqueeze(1)).squeeze(-1)
    value = q[noise["subset"].argsort()[:2]].amin(0)
    target = batch.reward + DISCOUNT**2 * (1.0 - batch.terminated) * value
    error = agent.critics(batch.obs, batch.action.unsqueeze(1)).squeeze(-1) - target
    after, metrics = agent.update(state, batch, noise, agent.hparams("online", 0))
    assert metrics["td_loss"].item() == pytest.approx(error.square().mean(1).sum().item(), rel=1e-4)
    chosen = corrected(state.actor.params, batch.obs).clamp(-1.0, 1.0).unsqueeze(1)
    learned_q = functional_call(agent.critics, after.critic.params, (batch.obs, chosen)).mean()
    assert metrics["actor_loss"].item() == pytest.approx(-learned_q.item(), rel=1e-4)
    acted = agent.policies["policy"].act(state, batch.obs, {}, True)
    assert torch.allclose(acted, corrected(state.actor.params, batch.obs).clamp(-1.0, 1.0))
    assert torch.equal(agent.policies["policy"].act(first, batch.obs, {}, True), clone(batch.obs).mode())
    assert all(torch.equal(after.bc.params[name], value) for name, value in state.bc.params.items())


def test_resfit_lets_its_critics_learn_before_its_correction(batch: Batch) -> None:
    agent, state = agent_of("resfit", ("agent.critic_steps", 100))
    noise = agent.update_noise(ROWS, agent.hparams("online", 0), torch.Generator().manual_seed(2))
    for step, moves in ((99, False), (100, True)):
        after, _ = agent.update(state, batch, noise, agent.hparams("online", step))
        changed = [not torch.equal(after.actor.params[name], value) for name, value in state.actor.params.items()]
        assert any(changed) is moves
        assert not torch.equal(after.critic_target["net.0.weight"], state.critic_target["net.0.weight"])
