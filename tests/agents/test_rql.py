"""The update of residual Q-learning: what it changes, by how much, and that it is a pure function."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from conftest import box_spaces, compose_config, first_state
from made_data import CPU, transitions
from torch import Tensor
from torch.func import functional_call

from rql.agents.rql.agent import RQL
from rql.agents.rql.build import build
from rql.agents.rql.composition import Amortized
from rql.agents.rql.residual import RQLState
from rql.data.batch import Batch
from rql.envs.spaces import ContinuousSpec, DiscreteSpec, Spaces
from rql.optim.adam import adam_step, clipped, gradient_norm, learned

OBS, BATCH = 3, 8
SPACES = {
    "discrete": box_spaces(OBS, DiscreteSpec(4, 0)),
    "continuous": box_spaces(OBS, ContinuousSpec(-np.ones(2, np.float32), np.ones(2, np.float32), (2,))),
}
CONTINUOUS = SPACES["continuous"]


def batch_of(spaces: Spaces) -> Batch:
    data = transitions(spaces)
    parts = (data.obs, data.action, data.reward, data.next_obs)
    obs, action, reward, next_obs = (torch.from_numpy(part[:BATCH]) for part in parts)
    terminated = torch.tensor([1.0] + [0.0] * (BATCH - 1))
    return Batch(obs, action, reward, next_obs, terminated, steps=torch.ones(BATCH))


class Setup:
    """An agent, its state at the start of learning Q_R, and one update of it."""

    def __init__(self, spaces: Spaces, *overrides: str, seed: int = 0) -> None:
        self.config = compose_config(*overrides)
        self.spaces = spaces
        torch.manual_seed(seed)
        self.agent: RQL = build(self.config, spaces, CPU, 1.0)
        self.hparams = self.agent.hparams("offline", 1)
        self.state = self.agent.start_residual(first_state(self.agent, spaces, transitions(spaces)))
        self.batch = batch_of(spaces)
        self.noise = self.agent.update_noise(BATCH, self.hparams, torch.Generator().manual_seed(1))

    def update(self, **changes: Any) -> tuple[RQLState, dict[str, Tensor]]:
        args = {"state": self.state, "hparams": self.hparams, "batch": self.batch, "noise": self.noise} | changes
        return self.agent.update(**args)

    @property
    def policy(self) -> torch.nn.Module:
        """The network of π_BC, and of π_θ."""
        return self.agent.residual.prior

    @property
    def critics(self) -> torch.nn.Module:
        """The ensemble Q_R."""
        return self.agent.residual.critics

    def act(self, policy: str, obs: Tensor, noise: Any, deterministic: bool) -> Tensor:
        return self.agent.policies[policy].act(self.state, obs, noise, deterministic)


def leaves(tree: Any) -> list[Tensor]:
    return [leaf for leaf in torch.utils._pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]


def same(one: Any, other: Any) -> bool:
    pairs = zip(leaves(one), leaves(other), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


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
    setups = [
        Setup(spaces, f"network.critic.aggregate={aggregate}", f"q.discount={g}", seed=s)
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
            assert torch.allclose(a, b[member], atol=1e-5)


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
        assert torch.allclose(after.critic.params[name], first_step, atol=1e-5)
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


def test_the_actor_starts_as_the_clone_and_moves_to_actions_of_higher_value() -> None:
    narrow = "policy.log_std_min=-5", "q.normalize=false", "beta=constant", "beta.value=5"
    setup = Setup(CONTINUOUS, *narrow, "composition.learning_rate=0.01")
    state = setup.state
    assert same(state.actor.params, state.bc.params)
    obs = state.normalizer(setup.batch.obs)

    def value_of_the_mode(params: Any) -> float:
        actions = functional_call(setup.policy, params, (obs,)).mode().unsqueeze(1)
        return float(functional_call(setup.critics, setup.state.critic.params, (obs, actions)).amin(0).mean())

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


@pytest.mark.parametrize("scale", [1e-2, 1e2])
def test_a_normalised_q_makes_beta_independent_of_the_reward_scale(scale: float) -> None:
    setup = Setup(SPACES["discrete"])
    larger = _times(setup.state.target, scale)
    scaled = setup.state._replace(target=larger, critic=setup.state.critic._replace(params=larger))
    frozen = setup.hparams._replace(critic_learning_rate=torch.tensor(0.0))
    one, other = (setup.update(state=state, hparams=frozen) for state in (setup.state, scaled))
    assert other[1]["q_scale"].item() == pytest.approx(scale * one[1]["q_scale"].item(), rel=1e-3)
    kls = [setup.agent.diagnose(state, setup.batch, {})["kl"].item() for state, _ in (one, other)]
    assert kls[0] > 1e-3 and kls[1] == pytest.approx(kls[0], rel=1e-3)


def _times(params: dict[str, Tensor], scale: float) -> dict[str, Tensor]:
    """Critics whose values are `scale` times as large."""
    last = max(int(name.split(".")[1]) for name in params)
    return {name: value * scale if name.split(".")[1] == str(last) else value for name, value in params.items()}


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
def test_an_adaptive_beta_is_steered_by_the_kl_of_the_policy_that_acts(spaces: Spaces, composition: str) -> None:
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
@pytest.mark.parametrize("composition", ["resample", "amortized"])
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


def test_adam_equals_torchs() -> None:
    torch.manual_seed(0)
    parameter = torch.nn.Parameter(torch.randn(5))
    ours = learned({"p": parameter})
    theirs = torch.optim.Adam([parameter], lr=0.01)
    loss: Callable[[Tensor], Tensor] = lambda p: (p**4).sum()  # noqa: E731
    for _ in range(10):
        gradient = torch.func.grad(loss)(ours.params["p"])
        ours = adam_step(ours, {"p": gradient}, torch.tensor(0.01))
        theirs.zero_grad()
        loss(parameter).backward()  # type: ignore[no-untyped-call]
        theirs.step()
    assert torch.allclose(ours.params["p"], parameter, atol=1e-6)


def test_the_gradient_norm_is_the_root_mean_square_of_those_that_adam_saw() -> None:
    state = learned({"p": torch.zeros(2), "q": torch.zeros(())})
    for size in (1.0, 3.0):
        gradients = {"p": torch.tensor([0.0, 3.0]) * size, "q": torch.tensor(4.0) * size}
        state = adam_step(state, gradients, torch.tensor(0.01))
    expected = (0.999 * 5.0**2 + 15.0**2) / (0.999 + 1.0)
    assert gradient_norm(state) == pytest.approx(expected**0.5, rel=1e-4)


def test_a_gradient_beyond_its_limit_is_scaled_down_to_it_and_others_are_left() -> None:
    gradients = {"p": torch.tensor([0.0, 3.0]), "q": torch.tensor(4.0)}
    assert same(clipped(gradients, torch.tensor(5.0)), gradients)
    half = clipped(gradients, torch.tensor(2.5))
    assert half["p"].tolist() == [0.0, 1.5] and half["q"].item() == 2.0


def test_the_gradient_of_q_is_limited() -> None:
    updated = (Setup(CONTINUOUS, f"q.max_gradient_norm={limit}").update()[0] for limit in ("1e-3", "1e6"))
    limited, free = (gradient_norm(state.critic).item() for state in updated)
    assert limited == pytest.approx(1e-3, rel=1e-3) and free > 1e-2
