"""`policy=flow` and `policy=mixture`: clones of several ways, composed by their samples."""

import pytest
import torch
from conftest import TINY, Cli, summary_of
from rql_setup import BATCH, CONTINUOUS, SPACES, Setup, same
from torch.func import functional_call

from rql.agents.build import build_agent
from rql.config.schema import Config
from rql.data.batch import Batch
from rql.utils.errors import ConfigError

FLOW = ["policy=flow", "composition=residual", "cql=off", "policy.flow_steps=5"]


def test_the_loss_is_that_of_the_velocity_on_the_straight_line_to_the_action() -> None:
    setup = Setup(CONTINUOUS, *FLOW)
    noise = setup.agent.clone_noise(BATCH, setup.hparams, torch.Generator().manual_seed(0))
    start, time, action = noise["start"], noise["time"], setup.batch.action
    obs = setup.state.normalizer(setup.batch.obs)
    inputs = obs, (1.0 - time) * start + time * action, time
    velocity = functional_call(setup.policy, setup.state.bc.params, inputs)
    expected = ((velocity - action + start) ** 2).sum(1).mean()
    state, metrics = setup.agent.clone(setup.state, setup.batch, noise, setup.hparams)
    assert metrics["loss"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert not same(state.bc, setup.state.bc)


def test_a_sample_goes_along_the_velocity_in_equal_steps() -> None:
    setup = Setup(CONTINUOUS, *FLOW)
    obs, state = setup.batch.obs, setup.state
    noise = {"action": torch.randn(BATCH, 2, generator=torch.Generator().manual_seed(0))}
    point = noise["action"]
    for step in range(5):
        time = torch.full((BATCH, 1), step / 5)
        point = point + functional_call(setup.policy, state.bc.params, (state.normalizer(obs), point, time)) / 5
    torch.testing.assert_close(setup.act("bc", obs, noise, False), point.clamp(-1.0, 1.0))


def two_ways(draws: torch.Generator) -> Batch:
    """The same state, in which actions to both sides are as good."""
    side = 2.0 * torch.randint(0, 2, (256, 1), generator=draws) - 1.0
    action = torch.cat([torch.full((256, 1), 0.5), 0.6 * side], dim=1)
    zeros, flags = torch.zeros(256, 3), torch.zeros(256)
    return Batch(zeros, action, flags, zeros, flags, steps=torch.ones(256))


def test_they_clone_both_ways_where_a_gaussian_clones_their_middle() -> None:
    draws, sides = torch.Generator().manual_seed(0), {}
    for policy in ("flow", "mixture", "squashed_gaussian"):
        chosen = [f"policy={policy}", "composition=residual", "cql=off", "baseline=none", "bc.learning_rate=3e-3"]
        setup = Setup(CONTINUOUS, *chosen)
        state = setup.state
        for _ in range(400):
            noise = setup.agent.clone_noise(256, setup.hparams, draws)
            state = setup.agent.clone(state, two_ways(draws), noise, setup.hparams)[0]
        setup.state, obs = state, torch.zeros(1000, 3)
        actions = setup.act("bc", obs, setup.agent.policies["bc"].noise(1000, draws), False)
        near = (actions[:, 1].abs() - 0.6).abs() < 0.2
        sides[policy] = near.float().mean().item(), (actions[near, 1] > 0).float().mean().item()
        if policy != "squashed_gaussian":
            assert setup.act("bc", obs[:1], {}, True)[0, 1].abs().item() == pytest.approx(0.6, abs=0.2)
    for policy in ("flow", "mixture"):
        assert sides[policy][0] > 0.85 and 0.35 < sides[policy][1] < 0.65
    assert sides["squashed_gaussian"][0] < 0.6


@pytest.mark.parametrize("composition", ["residual", "resample"])
def test_a_flow_is_finetuned(composition: str, cli: Cli) -> None:
    chosen = ["target=return"] if composition == "residual" else ["target=soft", "composition.num_candidates=4"]
    run = cli(*TINY, "policy=flow", "policy.flow_steps=3", f"composition={composition}", "cql=off", *chosen)
    assert {"bc/return", "offline/return", "online/return"} <= summary_of(run).keys()


@pytest.mark.parametrize("policy", ["policy=flow policy.flow_steps=3", "policy=mixture"])
def test_other_agents_clone_in_the_same_way_and_finetune_it(policy: str, cli: Cli) -> None:
    chosen, found = [*TINY, *policy.split(), "composition=residual", "cql=off", "offline.updates=0"], {}
    for agent in ("rql", "bc", "resfit", "expo"):
        found[agent] = summary_of(cli(*chosen, f"agent={agent}", name=agent))
    for key in ("bc/loss", "bc/return"):
        assert len({summary[key] for summary in found.values()}) == 1
    assert [agent for agent, summary in found.items() if "online/return" in summary] == ["rql", "resfit", "expo"]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["policy=flow"],
            "composition=amortized is not possible: residual or resample: policy=flow is composed by its samples",
        ),
        (["policy=flow", "composition=resample", "target=soft", "cql=strong"], "cql.alpha=5.0 is not possible: 0 with"),
        (["policy=flow", "composition=residual", "env=cartpole", "cql=off"], "for the actions are discrete"),
        (["policy=mixture", "composition=residual", "policy.components=1"], "policy.components=1 is not possible"),
    ],
)
def test_what_they_cannot_do_is_refused(
    overrides: list[str], said: str, cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli(*TINY, *overrides)
    assert said in capsys.readouterr().err


def test_discrete_actions_have_no_flow() -> None:
    setup = Setup(CONTINUOUS, *FLOW)
    config: Config = setup.config
    with pytest.raises(ConfigError, match="the actions are discrete"):
        build_agent(config, SPACES["discrete"], torch.device("cpu"))
