"""Q_R as a residual over V_BC, and what follows from its scale: the unit of rewards, the KL, the mode of π_final."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from agent_states import opinionated
from conftest import box_spaces, compose_config
from made_data import CPU, transitions
from torch import Tensor
from torch.func import functional_call

from rql.agents.rql.actions import ContinuousActions
from rql.agents.rql.agent import RQL
from rql.agents.rql.build import build
from rql.agents.rql.residual import RQLState
from rql.agents.statistics import Statistics
from rql.data.batch import IDENTITY, TO_END, Batch, Draw, RewardTransform
from rql.data.dataset import Dataset
from rql.data.returns import discounted_returns
from rql.data.transitions import Transitions
from rql.envs.spaces import ContinuousSpec, DiscreteSpec
from rql.method.composition import sample_variance
from rql.method.losses import explained_variance
from rql.nn.distributions import SquashedGaussian
from rql.utils.tree import leaves_of

ONES = np.ones(2, np.float32)
DISCRETE, CONTINUOUS = box_spaces(3, DiscreteSpec(4, 0)), box_spaces(3, ContinuousSpec(-ONES, ONES, (2,)))
GAMMA = 0.9
Started = tuple[RQL, RQLState, Dataset]


def started(data: Transitions, *overrides: str, reward: RewardTransform = IDENTITY, spaces: Any = DISCRETE) -> Started:
    torch.manual_seed(0)
    agent = build(compose_config(f"q.discount={GAMMA}", *overrides), spaces, CPU, 1.0)
    state = agent.init(Statistics.of(data, GAMMA, reward, CPU))
    return agent, agent.start_residual(state), Dataset(data, CPU)


def drawn(dataset: Dataset, count: int, draw: Draw) -> Batch:
    return dataset.sample(count, torch.Generator().manual_seed(0), draw)


def updated(agent: RQL, state: RQLState, batch: Batch, times: int = 1) -> tuple[RQLState, Any]:
    for step in range(times):
        hparams = agent.hparams("offline", 1)
        noise = agent.update_noise(len(batch.obs), hparams, torch.Generator().manual_seed(step))
        state, metrics = agent.update(state, batch, noise, hparams)
    return state, metrics


def test_a_transition_to_the_end_has_the_return_the_last_observation_and_the_steps_between() -> None:
    data = transitions(DISCRETE)
    batch = drawn(Dataset(data, CPU), 500, Draw(TO_END, GAMMA))
    returns, ends = discounted_returns(data, GAMMA, IDENTITY), np.repeat(data.ends, data.lengths)
    for row in range(len(data)):
        here = (batch.obs == torch.from_numpy(data.obs[row])).all(1)
        assert here.any()
        assert batch.reward[here].numpy() == pytest.approx(returns[row], abs=1e-5)
        last = int(ends[row]) - 1
        assert (batch.next_obs[here] == torch.from_numpy(data.next_obs[last])).all()
        assert (batch.steps[here] == last - row + 1).all()
        assert (batch.terminated[here] == float(data.terminated[last])).all()


def test_the_clone_learns_what_it_earns_with_its_own_value_after_a_time_limit() -> None:
    data = transitions(DISCRETE)
    agent, state, dataset = started(data, "baseline=value", "bc.learning_rate=1e-3")
    cloning = agent.stages[0]
    assert cloning.n_step == TO_END
    batch = drawn(dataset, 64, Draw(TO_END, GAMMA))
    batch = batch._replace(terminated=(torch.arange(64) % 2).float())
    net, mean, std = agent.baseline.net, state.returns.mean, state.returns.std  # type: ignore[attr-defined]
    both = (state.normalizer(obs) for obs in (batch.obs, batch.next_obs))
    value, last = (functional_call(net, state.baseline.params, (obs,)) for obs in both)
    returns = batch.reward + (1 - batch.terminated) * GAMMA**batch.steps * (mean + std * last)
    by_hand = ((mean + std * value - returns) ** 2).mean() / std**2
    (update,), hparams = cloning.cycle, agent.hparams("bc", 1)
    after, metrics = update(state, batch, {}, hparams)
    assert metrics["value_loss"].item() == pytest.approx(by_hand.item(), rel=1e-4)
    for _ in range(600):
        after, metrics = update(after, batch, {}, hparams)
    assert metrics["explained_variance"].item() > 0.95
    action = batch.action
    expected = agent.baseline.value(after, after.normalizer(batch.obs)) + agent.residual.q(
        after, after.normalizer(batch.obs), action.unsqueeze(1)
    ).squeeze(1)
    torch.testing.assert_close(agent.value(after, batch.obs, action), std * expected)


def test_the_target_of_a_residual_is_the_shaped_one_by_hand() -> None:
    data = transitions(DISCRETE)
    chosen = "baseline=value", "target=prior", "cql=off", "beta=constant", "beta.value=1"
    agent, state, dataset = started(data, *chosen)
    batch = drawn(dataset, 16, Draw(3, GAMMA))
    obs, next_obs = state.normalizer(batch.obs), state.normalizer(batch.next_obs)
    every = torch.arange(4).expand(16, 4)
    weight = functional_call(agent.residual.prior.network, state.bc.params, (next_obs,)).logits.softmax(-1)
    next_q = (weight * functional_call(agent.residual.critics, state.target, (next_obs, every)).amin(0)).sum(-1)
    value, following = agent.baseline.value(state, obs), agent.baseline.value(state, next_obs)
    shaped = batch.reward / state.returns.std + (1 - batch.terminated) * GAMMA**batch.steps * following - value
    target = shaped + (1 - batch.terminated) * GAMMA**batch.steps * next_q
    q = functional_call(agent.residual.critics, state.critic.params, (obs, batch.action.unsqueeze(1)))[..., 0]
    _, metrics = updated(agent, state, batch)
    assert metrics["td_loss"].item() == pytest.approx(((q - target) ** 2).mean(1).sum().item(), rel=1e-4)
    assert metrics["target"].item() == pytest.approx((state.returns.std * (target + value)).mean().item(), rel=1e-4)


@pytest.mark.parametrize("baseline", ["mean", "value"])
@pytest.mark.parametrize("cql", ["off", "strong"])
def test_with_a_baseline_no_update_depends_on_the_unit_of_the_reward(baseline: str, cql: str) -> None:
    """So α_CQL, β and the learning rates mean the same in any unit. A factor of 1,024 rounds nothing."""
    data, large = transitions(CONTINUOUS), RewardTransform(scale=1024.0)
    learned = []
    for reward in (IDENTITY, large):
        agent, state, dataset = started(data, f"baseline={baseline}", f"cql={cql}", reward=reward, spaces=CONTINUOUS)
        assert state.returns.std.item() == pytest.approx(reward.scale * discounted_returns(data, GAMMA, IDENTITY).std())
        state, _ = updated(agent, state, drawn(dataset, 16, Draw(1, GAMMA, reward=reward)), times=5)
        learned.append(state)
    for one, other in zip(leaves_of(learned[0].critic), leaves_of(learned[1].critic), strict=True):
        torch.testing.assert_close(one, other)
    assert learned[0].q_scale.item() == pytest.approx(learned[1].q_scale.item())


def test_returns_that_are_all_the_same_leave_the_unit_of_the_reward() -> None:
    data = transitions(DISCRETE)
    flat = replace(data, columns={**data.columns, "reward": np.zeros_like(data.columns["reward"])})
    assert Statistics.of(flat, GAMMA, IDENTITY, CPU).returns.std.item() == 1.0


@pytest.mark.parametrize(
    ("value", "returns", "explained"),
    [
        ([1.0, 3.0], [1.0, 3.0], 1.0),
        ([2.0, 2.0], [1.0, 3.0], 0.0),
        ([5.0, 6.0], [1.0, 3.0], 0.75),
        ([9.0, 1.0], [1.0, 1.0], 0.0),
        ([4.0], [2.0], 0.0),
    ],
)
def test_the_variance_that_a_value_explains(value: list[float], returns: list[float], explained: float) -> None:
    assert explained_variance(torch.tensor(value), torch.tensor(returns)).item() == pytest.approx(explained)


def test_one_action_of_the_policy_is_enough_for_its_own_target() -> None:
    chosen = "target=policy", "target.num_samples=1"
    agent, state, dataset = started(transitions(CONTINUOUS), *chosen, spaces=CONTINUOUS)
    assert updated(agent, state, drawn(dataset, 16, Draw(1, GAMMA)))[1]["q_scale"].item() > 0


def test_a_network_of_its_own_is_worth_its_kl_more_without_its_price_and_all_actions_need_no_network() -> None:
    values = {}
    for target in ("policy", "return"):
        fixed = f"target={target}", "target.num_samples=1", "beta=constant", "beta.value=2", "q.normalize=false"
        agent, state, dataset = started(transitions(CONTINUOUS), *fixed, spaces=CONTINUOUS)
        far = {name: value + 0.1 for name, value in state.actor.params.items()}
        moved = state._replace(actor=state.actor._replace(params=far))
        batch = drawn(dataset, 16, Draw(1, GAMMA))._replace(terminated=torch.zeros(16))
        values[target] = updated(agent, moved, batch)[1]["target"].item()
    obs = state.normalizer(batch.next_obs)
    bc, actor = (functional_call(agent.residual.prior.network, params, (obs,)) for params in (state.bc.params, far))
    noise = agent.update_noise(16, agent.hparams("offline", 1), torch.Generator().manual_seed(0))["prior"]
    latent = actor.latent(noise.squeeze(1))
    price = (actor.latent_log_density(latent) - bc.latent_log_density(latent)).mean() / 2.0
    assert values["return"] - values["policy"] == pytest.approx((GAMMA * price * state.returns.std).item(), rel=1e-3)
    exact = {}
    for target in ("policy", "soft", "return", "expected"):
        agent, state, dataset = started(transitions(DISCRETE), f"target={target}")
        exact[target] = updated(agent, opinionated(state), drawn(dataset, 16, Draw(1, GAMMA)))[1]["target"].item()
    assert exact["policy"] == exact["soft"] != exact["return"] == exact["expected"]


def test_the_scale_of_q_is_recorded_where_beta_reads_it() -> None:
    agent, state, dataset = started(transitions(CONTINUOUS), "target=policy", "q.normalize=false", spaces=CONTINUOUS)
    after, metrics = updated(agent, state, drawn(dataset, 16, Draw(1, GAMMA)), times=2)
    assert "q_scale" not in metrics and after.q_scale == 1.0 and after.updates == 2.0


@pytest.mark.parametrize("count", [2, 4, 10])
def test_the_variance_of_q_has_no_bias_whatever_the_number_of_samples(count: int) -> None:
    q = 3.0 * torch.randn((200_000, count), generator=torch.Generator().manual_seed(0))
    weight = torch.full_like(q, -float(np.log(count)))
    assert sample_variance(q, weight).mean().item() == pytest.approx(9.0, rel=0.01)


def test_the_scale_of_q_is_that_of_the_clone_wherever_the_policy_has_gone() -> None:
    data = transitions(CONTINUOUS)
    still = "beta=kl", "cql=off", "q.learning_rate=1e-30"
    agent, state, dataset = started(data, "target=policy", *still, spaces=CONTINUOUS)
    state, batch = opinionated(state), drawn(dataset, 16, Draw(1, GAMMA))
    far = {name: value + 0.5 for name, value in state.actor.params.items()}
    moved = state._replace(actor=state.actor._replace(params=far))
    here, there = updated(agent, state, batch)[1], updated(agent, moved, batch)[1]
    assert there["kl"] > here["kl"] + 1.0
    assert there["q_scale"].item() == here["q_scale"].item() > 0


def latent_gain(dims: int, score: Callable[[Tensor], Tensor]) -> Tensor:
    actions = ContinuousActions(dims, 2, 1, 256, on_policy=False, normalized=True, draws=dims)
    bc = SquashedGaussian(torch.full((3, dims), 0.2), torch.full((3, dims), -1.5))
    chosen = actions.mode(bc, score)
    assert chosen.actions.shape == (3, 1, dims)
    gained: Tensor = (chosen.actions[:, 0].atanh() - 0.2) / np.exp(-1.5)
    return gained


@pytest.mark.parametrize("dims", [1, 17])
def test_the_mode_of_candidates_goes_as_far_up_q_as_the_composed_policy_does(dims: int) -> None:
    """For Q = u/σ summed over dimensions, π_final is π_BC moved by β σ along Q's direction."""
    assert latent_gain(dims, lambda actions: torch.zeros(actions.shape[:2])).abs().max() < 1e-5

    def score(actions: Tensor) -> Tensor:
        scores: Tensor = ((actions.atanh() - 0.2) / np.exp(-1.5)).sum(-1) / np.sqrt(dims)
        return scores

    gain = latent_gain(dims, score).sum(-1) / np.sqrt(dims)
    assert gain[0].item() == pytest.approx(1.0, abs=0.15)


def test_a_clone_of_deterministic_demonstrations_keeps_a_width_that_beta_can_move() -> None:
    data = transitions(CONTINUOUS)
    agent, state, dataset = started(data, spaces=CONTINUOUS)
    batch, hparams = drawn(dataset, 64, Draw(1, GAMMA)), agent.hparams("bc", 1)
    same = batch._replace(action=torch.full_like(batch.action, 0.3))
    for _ in range(300):
        state, _ = agent.clone(state, same, {}, hparams)
    bc = agent.residual.bc(state, state.normalizer(batch.obs))
    assert (bc.mode() - 0.3).abs().max() < 0.1
    assert bc.log_std.exp().min() >= 0.2


def test_the_policy_and_beta_learn_at_the_last_of_several_updates_a_step() -> None:
    data = transitions(CONTINUOUS)
    agent, state, dataset = started(data, "online.utd=3", "beta=kl", spaces=CONTINUOUS)
    online, batch = agent.stages[-1], drawn(dataset, 16, Draw(1, GAMMA))
    assert len(online.cycle) == 3 and len(agent.stages[1].cycle) == 1
    hparams, moved = agent.hparams("online", 4000), []
    for update in online.cycle:
        noise = online.noise(16, hparams, torch.Generator().manual_seed(0))
        after, _ = update(state, batch, noise, hparams)
        assert after.critic.steps == state.critic.steps + 1
        moved.append((bool(after.actor.steps > state.actor.steps), bool(after.beta != state.beta)))
        state = after
    assert moved == [(False, False), (False, False), (True, True)]
