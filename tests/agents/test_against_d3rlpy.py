"""Agents beside d3rlpy: the same weights and batch give the same losses and, after updates, the same weights.

d3rlpy is installed by `pip install --no-deps -r benchmarks/d3rlpy.txt`, as `make test` does: it asks for an older
gymnasium than ours and works with this one.
"""

import copy
import math
from functools import partial
from typing import Any

import d3rlpy
import numpy as np
import pytest
import torch
from agent_states import first_state
from conftest import box_spaces, with_agent
from d3rlpy.models import VectorEncoderFactory
from d3rlpy.torch_utility import TorchMiniBatch
from torch import Tensor, nn

from rql.agents.build import build_agent
from rql.data.batch import MC_RETURN, NEXT_ACTION, Batch
from rql.envs.spaces import ContinuousSpec
from rql.nn.distributions import SquashedGaussian

OBS, DIMS, ROWS, UPDATES = 5, 2, 32, 4
SPACES = box_spaces(OBS, ContinuousSpec(-np.ones(DIMS, np.float32), np.ones(DIMS, np.float32), (DIMS,)))
SMALL = [
    *("network.actor.hidden=[16,16]", "network.critic.hidden=[16,16]", "network.actor.layer_norm=false"),
    *("network.critic.layer_norm=false", "q.learning_rate=3e-4", "q.tau=0.005"),
]
BETAS = {"actor_beta": 0.3, "critic_beta": 0.7}
TOLERANCE = 1e-4


@pytest.fixture
def batch() -> Batch:
    draws = torch.Generator().manual_seed(0)
    obs, next_obs = (torch.randn(ROWS, OBS, generator=draws) for _ in range(2))
    action = torch.rand(ROWS, DIMS, generator=draws) * 1.8 - 0.9
    reward, terminated = torch.randn(ROWS, generator=draws), (torch.rand(ROWS, generator=draws) < 0.2).float()
    known = {MC_RETURN: 3.0 * torch.randn(ROWS, generator=draws), NEXT_ACTION: action.flip(0)}
    extra = known | {f"{NEXT_ACTION}_mask": torch.ones(ROWS)}
    return Batch(obs, action, reward, next_obs, terminated, torch.ones(ROWS), extra)


def theirs_of(batch: Batch) -> TorchMiniBatch:
    column = (ROWS, 1)
    return TorchMiniBatch(
        observations=batch.obs,
        actions=batch.action,
        rewards=batch.reward.view(column),
        next_observations=batch.next_obs,
        next_actions=batch.extra[NEXT_ACTION],
        returns_to_go=batch.extra[MC_RETURN].view(column),
        terminals=batch.terminated.view(column),
        intervals=torch.ones(column),
        device="cpu",
    )


def linears(network: nn.Module) -> list[nn.Linear]:
    return [module for module in network.modules() if isinstance(module, nn.Linear)]


def policy_params(network: nn.Module, name: str = "net") -> dict[str, Tensor]:
    """The parameters of one of our MLPs from the linear layers of theirs."""
    found: dict[str, Tensor] = {}
    for index, layer in enumerate(linears(network)):
        found |= {f"{name}.{2 * index}.weight": layer.weight, f"{name}.{2 * index}.bias": layer.bias}
    return {key: value.detach().clone() for key, value in found.items()}


def critic_params(networks: Any) -> dict[str, Tensor]:
    """The parameters of one of our ensembles from several networks of theirs."""
    layers = list(zip(*(linears(network) for network in networks), strict=True))
    found: dict[str, Tensor] = {}
    for index, members in enumerate(layers):
        found[f"net.{2 * index}.weight"] = torch.stack([layer.weight.T for layer in members])
        found[f"net.{2 * index}.bias"] = torch.stack([layer.bias.unsqueeze(0) for layer in members])
    return {key: value.detach().clone() for key, value in found.items()}


def impl_of(config: Any) -> Any:
    torch.manual_seed(0)
    algorithm = config.create(device="cpu")
    algorithm.create_impl((OBS,), DIMS)
    return algorithm.impl


def agent_of(name: str, **changes: Any) -> Any:
    """An agent of ours, with other values of some of its own keys."""
    config = with_agent(name, *SMALL)
    for key, value in changes.items():
        setattr(config.agent, key, value)
    return build_agent(config, SPACES, torch.device("cpu"))


def with_params(part: Any, params: dict[str, Tensor]) -> Any:
    """A trained part of a state with other parameters."""
    return part._replace(params=params)


def assert_close(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=TOLERANCE, atol=TOLERANCE)


def encoders(*names: str) -> dict[str, Any]:
    return {f"{name}_encoder_factory": VectorEncoderFactory([16, 16]) for name in names}


def test_iql(batch: Batch) -> None:
    config = d3rlpy.algos.IQLConfig(**encoders("actor", "critic", "value"))
    impl = impl_of(config)
    modules = impl._modules

    def actor_params() -> dict[str, Tensor]:
        scale = modules.policy._logstd.detach().clone().squeeze(0)
        return policy_params(modules.policy) | {"raw_log_std": scale}

    agent = agent_of("iql")
    state = first_state(agent, SPACES)
    state = state._replace(
        actor=with_params(state.actor, actor_params()),
        critic=with_params(state.critic, critic_params(modules.q_funcs)),
        value=with_params(state.value, critic_params([modules.value_func])),
        target=critic_params(modules.targ_q_funcs),
    )
    (update,) = agent.stages[0].cycle
    for step in range(UPDATES):
        theirs = impl.inner_update(theirs_of(batch), step)
        state, ours = update(state, batch, {}, agent.hparams("offline", step))
        assert ours["td_loss"].item() == pytest.approx(theirs["q_loss"], rel=TOLERANCE)
        assert ours["value_loss"].item() == pytest.approx(theirs["v_loss"], rel=TOLERANCE)
        assert ours["actor_loss"].item() == pytest.approx(theirs["actor_loss"], rel=TOLERANCE)
    assert_close(state.actor.params, actor_params())
    assert_close(state.critic.params, critic_params(modules.q_funcs))
    assert_close(state.value.params, critic_params([modules.value_func]))
    assert_close(state.target, critic_params(modules.targ_q_funcs))


@pytest.mark.parametrize("name", ["td3_bc", "rebrac"])
def test_td3_bc_and_rebrac(name: str, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs_too = {"td3_bc": d3rlpy.algos.TD3PlusBCConfig, "rebrac": partial(d3rlpy.algos.ReBRACConfig, **BETAS)}
    rates = {f"{part}_learning_rate": 3e-4 for part in ("actor", "critic")}
    impl = impl_of(theirs_too[name](**rates, **encoders("actor", "critic")))
    modules = impl._modules
    changes = {key.replace("beta", "penalty"): value for key, value in BETAS.items() if name == "rebrac"}
    agent = agent_of(name, **changes)
    state = first_state(agent, SPACES)
    state = state._replace(
        actor=with_params(state.actor, policy_params(modules.policy)),
        actor_target=policy_params(modules.targ_policy),
        critic=with_params(state.critic, critic_params(modules.q_funcs)),
        critic_target=critic_params(modules.targ_q_funcs),
    )
    stage = agent.stages[0]
    draws = torch.Generator().manual_seed(1)
    for step in range(UPDATES):
        hparams = agent.hparams("offline", step)
        noise = stage.noise(ROWS, hparams, draws)
        monkeypatch.setattr(torch, "randn", lambda *_, noise=noise, **__: noise["target"])
        theirs = impl.inner_update(theirs_of(batch), step + 1)  # it counts from the first update, and we from none
        state, ours = stage.cycle[step % 2](state, batch, noise, hparams)
        monkeypatch.undo()
        assert ours["td_loss"].item() == pytest.approx(theirs["critic_loss"], rel=TOLERANCE)
        assert ("actor_loss" in ours) == ("actor_loss" in theirs) == (step % 2 == 1)
        if "actor_loss" in ours:
            assert ours["actor_loss"].item() == pytest.approx(theirs["actor_loss"], rel=TOLERANCE)
            assert ours["imitation_loss"].item() == pytest.approx(theirs["bc_loss"], rel=TOLERANCE)
    assert_close(state.actor.params, policy_params(modules.policy))
    assert_close(state.actor_target, policy_params(modules.targ_policy))
    assert_close(state.critic.params, critic_params(modules.q_funcs))
    assert_close(state.critic_target, critic_params(modules.targ_q_funcs))


class TheirPolicy(nn.Module):
    """A policy of theirs as one of ours, for the two bound the scale in different ways."""

    def __init__(self, policy: nn.Module) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, obs: Tensor) -> SquashedGaussian:
        found = self.policy(obs)
        return SquashedGaussian(found.mu, found.logstd)


def replay(monkeypatch: pytest.MonkeyPatch, noise: dict[str, Tensor], names: list[str]) -> None:
    """Let them draw, in this order, the numbers that we have drawn already."""
    drawn = [noise[name] for name in names]
    if "space_normal" in noise:
        drawn[1:1] = noise["space_normal"].permute(1, 2, 0, 3).unbind()
        flat = 2.0 * noise["space_uniform"].reshape(-1, DIMS) - 1.0
        monkeypatch.setattr(torch.Tensor, "uniform_", lambda self, *_: self.copy_(flat))
    monkeypatch.setattr("torch.distributions.normal._standard_normal", lambda *_, **__: drawn.pop(0))


@pytest.mark.parametrize("name", ["sac", "cql", "cal_ql"])
def test_sac_and_what_builds_on_it(name: str, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the temperature, which they move before the policy and we after it."""
    kinds = {"sac": d3rlpy.algos.SACConfig, "cql": d3rlpy.algos.CQLConfig, "cal_ql": d3rlpy.algos.CalQLConfig}
    conservative = {"alpha_learning_rate": 0.0, "alpha_threshold": 0.0, "soft_q_backup": True, "n_action_samples": 3}
    rates = {"actor_learning_rate": 3e-4, "critic_learning_rate": 3e-4, "temp_learning_rate": 0.0}
    impl = impl_of(kinds[name](**rates, **({} if name == "sac" else conservative), **encoders("actor", "critic")))
    own = {} if name == "sac" else {"num_samples": 3}
    agent = agent_of(name, backup_entropy=True, actor_learning_rate=3e-4, temperature_learning_rate=0.0, **own)
    modules, agent.actor = impl._modules, TheirPolicy(copy.deepcopy(impl._modules.policy))
    state = first_state(agent, SPACES)
    critic = with_params(state.critic, critic_params(modules.q_funcs))
    state = state._replace(critic=critic, target=critic_params(modules.targ_q_funcs))
    stage, draws = agent.stages[0], torch.Generator().manual_seed(1)
    for step in range(UPDATES):
        hparams = agent.hparams(stage.info.name, step)
        noise = stage.noise(ROWS, hparams, draws)
        replay(monkeypatch, noise, ["next_action", "action"])
        theirs = impl.inner_update(theirs_of(batch), step)
        monkeypatch.undo()
        state, ours = stage.cycle[0](state, batch, noise, hparams)
        loss = ours["td_loss"]
        if name != "sac":
            loss = loss + 5.0 * (ours["cql_loss"] + 2 * math.log(3 * 3))  # we say what the integral is, they up to this
        assert loss.item() == pytest.approx(theirs["critic_loss"], rel=TOLERANCE)
        assert ours["actor_loss"].item() == pytest.approx(theirs["actor_loss"], rel=TOLERANCE)
    assert_close(state.actor.params, dict(TheirPolicy(modules.policy).named_parameters()))
    assert_close(state.critic.params, critic_params(modules.q_funcs))
    assert_close(state.target, critic_params(modules.targ_q_funcs))


def test_awac(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all episodes over, for in the value of the next state they squash what they do not elsewhere."""
    batch = batch._replace(terminated=torch.ones(ROWS))
    rates = {f"{part}_learning_rate": 3e-4 for part in ("actor", "critic")}
    impl = impl_of(d3rlpy.algos.AWACConfig(**rates, **encoders("actor", "critic")))
    modules = impl._modules

    def actor_params() -> dict[str, Tensor]:
        scale = modules.policy._logstd.detach().clone().squeeze(0)
        return policy_params(modules.policy) | {"raw_log_std": scale}

    agent = agent_of("awac")
    state = first_state(agent, SPACES)
    state = state._replace(
        actor=with_params(state.actor, actor_params()),
        critic=with_params(state.critic, critic_params(modules.q_funcs)),
    )
    stage, draws = agent.stages[0], torch.Generator().manual_seed(1)
    for step in range(UPDATES):
        hparams = agent.hparams("offline", step)
        noise = stage.noise(ROWS, hparams, draws)
        replay(monkeypatch, noise | {"action": noise["action"].unsqueeze(0)}, ["next_action", "action"])
        theirs = impl.inner_update(theirs_of(batch), step)
        monkeypatch.undo()
        state, ours = stage.cycle[0](state, batch, noise, hparams)
        assert ours["td_loss"].item() == pytest.approx(theirs["critic_loss"], rel=TOLERANCE)
        assert ROWS * ours["actor_loss"].item() == pytest.approx(theirs["actor_loss"], rel=TOLERANCE)
    assert_close(state.actor.params, actor_params())
    assert_close(state.critic.params, critic_params(modules.q_funcs))
