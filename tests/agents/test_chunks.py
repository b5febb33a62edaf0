"""`chunk.length`: several actions that are decided on as one."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import TINY, Cli, compose_config, metrics_of, summary_of, without_times
from rql_setup import BATCH, CONTINUOUS, Setup, same
from torch.func import functional_call

import rql
from rql.agents.build import deciding
from rql.agents.plans import Plans
from rql.config.networks import ChunkConfig
from rql.data.batch import ACTION_MASK

POLICIES = {
    "squashed_gaussian": [],
    "flow": ["policy=flow", "policy.flow_steps=3", "composition=residual", "cql=off"],
    "mixture": ["policy=mixture", "composition=resample", "composition.num_candidates=3", "target=soft", "cql=off"],
}


def chunked(*overrides: str) -> tuple[Setup, torch.Tensor]:
    """A setup with decisions on three actions, and the mask of a batch in which some reach beyond the end."""
    spaces = replace(CONTINUOUS, action=deciding(compose_config("chunk.length=3"), CONTINUOUS).action)
    setup = Setup(spaces, "chunk.length=3", *overrides)
    left = torch.tensor([3, 1, 2, 3, 3, 1, 3, 2])
    mask = (torch.arange(3) < left[:, None]).float().repeat_interleave(2, dim=1)
    action = torch.rand((BATCH, 6), generator=torch.Generator().manual_seed(3)) * 1.8 - 0.9
    setup.batch = setup.batch._replace(action=action * mask, extra={ACTION_MASK: mask})
    return setup, mask


def test_a_decision_is_carried_out_at_each_place_as_far_as_it_is_to_be() -> None:
    plans, everywhere = Plans(ChunkConfig(length=3, execute=2)), np.arange(2)
    plans.begin(everywhere)
    decided = np.arange(12, dtype=np.float32).reshape(2, 6)
    assert plans.due(everywhere).tolist() == [0, 1]
    plans.decide(everywhere, decided)
    assert plans.next(everywhere).tolist() == [[0, 1], [6, 7]]
    plans.begin(np.array([1]))
    assert plans.due(everywhere).tolist() == [1]
    plans.decide(np.array([1]), decided[:1] + 20.0)
    again = Plans(ChunkConfig(length=3, execute=2))
    again.load(plans.saved_state())
    for one in (plans, again):
        assert one.next(everywhere).tolist() == [[2, 3], [20, 21]]
        assert one.due(everywhere).tolist() == [0] and one.due(np.array([1, 0])).tolist() == [1]
        assert one.decided(np.array([1])).tolist() == [[20, 21, 22, 23, 24, 25]]


@pytest.mark.parametrize("policy", POLICIES)
def test_what_lies_beyond_the_end_of_an_episode_is_not_cloned(policy: str) -> None:
    setup, mask = chunked(*POLICIES[policy])
    noise = setup.agent.clone_noise(BATCH, setup.hparams, torch.Generator().manual_seed(0))
    other = setup.batch._replace(action=setup.batch.action + 0.3 * (1.0 - mask))
    one = setup.agent.clone(setup.state, setup.batch, noise, setup.hparams)
    if policy != "flow":  # which meets them on its way
        assert same(one, setup.agent.clone(setup.state, other, noise, setup.hparams))
    within = setup.batch._replace(action=setup.batch.action + 0.1 * mask)
    assert not same(one, setup.agent.clone(setup.state, within, noise, setup.hparams))


def test_the_loss_of_a_cloned_chunk_is_that_of_the_actions_that_were_made() -> None:
    setup, mask = chunked()
    found = setup.agent.clone(setup.state, setup.batch, {}, setup.hparams)[1]["loss"].item()
    bc = functional_call(setup.policy, setup.state.bc.params, setup.state.normalizer(setup.batch.obs))
    action, std = setup.batch.action, bc.log_std.exp()
    of_each = -0.5 * ((action.atanh() - bc.mean) / std).square() - (std * math.sqrt(2.0 * math.pi)).log()
    of_each = of_each - (1.0 - action.square()).log()
    assert found == pytest.approx(-(of_each * mask).sum(1).mean().item(), rel=1e-4)


def test_q_sees_what_the_clone_would_have_planned_beyond_the_end() -> None:
    setup, mask = chunked()
    bc = functional_call(setup.policy, setup.state.bc.params, setup.state.normalizer(setup.batch.obs))
    planned = torch.where(mask > 0, setup.batch.action, bc.mode())
    by_hand = setup.update(batch=setup.batch._replace(action=planned))
    assert same(setup.update(), by_hand)
    assert not torch.equal(planned, setup.batch.action)


def test_a_batch_of_decisions_bootstraps_after_as_many_steps_as_are_made() -> None:
    config = compose_config("chunk.length=5", "chunk.execute=2", "q.n_step=3")
    assert config.n_step == 6 and compose_config("chunk.length=5").n_step == 5
    assert compose_config("q.n_step=3").n_step == 3


@pytest.mark.parametrize("policy", POLICIES)
def test_a_run_decides_on_chunks(policy: str, cli: Cli) -> None:
    run = cli(*TINY, *POLICIES[policy], "chunk.length=3", "chunk.execute=2", "env.num_envs=2", "online.utd=0.5")
    assert {"bc/return", "offline/return", "online/return"} <= summary_of(run).keys()
    assert all(math.isfinite(line["loss"]) for line in metrics_of(run) if "loss" in line)
    played = rql.evaluate(run, episodes=2)
    assert {row["policy"] for row in played} == {"bc", "final"}


def test_a_chunk_of_one_is_no_chunk(cli: Cli) -> None:
    runs = [cli(*TINY, *more, name=str(number)) for number, more in enumerate(([], ["chunk.execute=1"]))]
    assert without_times(metrics_of(runs[0])) == without_times(metrics_of(runs[1]))


def test_an_agent_that_only_clones_clones_chunks(cli: Cli) -> None:
    run = cli(*TINY, "agent=bc", "chunk.length=2")
    assert "bc/return" in summary_of(run)
    policy = rql.load_policy(run, "bc")
    policy.begin()
    obs = np.zeros(3, np.float32)
    first, second = policy(obs), policy(obs + 0.5)
    policy.begin()
    assert policy(obs) == pytest.approx(first) and policy(obs - 0.5) == pytest.approx(second)
    assert policy(obs + 0.5) != pytest.approx(first)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["chunk.length=0"], "chunk.length=0 is not possible: "),
        (["chunk.length=3", "chunk.execute=4"], "chunk.execute=4 is not possible: at most chunk.length=3"),
        (
            ["chunk.length=2", "agent=iql"],
            "chunk.length=2 is not possible: 1 with agent=iql",
        ),
        (["chunk.length=2", "env=cartpole"], "chunk.length=2 is not possible: 1, for the actions of CartPole-v1 are"),
        (["chunk.length=2", "online.noise_correlation=0.5"], "0 where chunk.length is above 1"),
    ],
)
def test_what_cannot_be_decided_in_chunks_is_refused(
    overrides: list[str], said: str, cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli(*TINY, *overrides)
    assert said in capsys.readouterr().err
