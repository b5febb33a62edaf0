"""Priors whose density is known: `composition=amortized` takes their network over."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY, Cli, Launch, compose_config, metrics_of, run_once, summary_of, without_times
from opened_priors import FINETUNE

import rql
from rql.agents.loading import open_agent
from rql.envs.make import inspect_env
from rql.envs.spaces import ContinuousSpec
from rql.priors.base import open_prior

ADOPT = ("prior=run", "prior.mode=sample", "composition=amortized", "bc.updates=0", "baseline=none")
SMALL = "network.actor.hidden=[64,64]"


@pytest.fixture(scope="module")
def cloned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole run, without a baseline."""
    return run_once(tmp_path_factory, "cloned", "baseline=none")


def adopt(run: Path, policy: str = "bc") -> list[str]:
    return [*ADOPT, f"prior.run={run}", f"prior.policy={policy}"]


def test_finetuning_the_clone_of_a_run_is_what_that_run_did(cli: Cli, cloned: Path) -> None:
    again = cli(*TINY, *adopt(cloned), name="again")
    wanted, found = ([row for row in without_times(metrics_of(run)) if row["stage"] != "bc"] for run in (cloned, again))
    assert found == wanted and any(row["stage"] == "online" for row in found)
    assert summary_of(again)["bc/return"] == summary_of(cloned)["bc/return"]
    assert summary_of(again)["online/return"] == summary_of(cloned)["online/return"]


def test_without_data_its_normaliser_stays_and_what_came_of_it_needs_the_first_run_no_more(
    cli: Cli, cloned: Path, tmp_path: Path
) -> None:
    first = cli(*FINETUNE, *adopt(cloned), SMALL, name="first")
    normalizer, known = (open_agent(run).state.normalizer for run in (first, cloned))
    assert torch.equal(normalizer.mean, known.mean) and torch.equal(normalizer.std, known.std)
    moved = cloned.rename(tmp_path / "moved")
    try:
        played = {row["policy"]: row["return"] for row in rql.evaluate(first, episodes=2)}
        assert played == {"bc": summary_of(moved)["bc/return"], "final": summary_of(first)["online/return"]}
        second = cli(*FINETUNE, *adopt(first, "final"), SMALL, name="second")
    finally:
        moved.rename(cloned)
    assert summary_of(second)["bc/return"] == summary_of(first)["online/return"]


def test_what_began_without_data_is_taken_over_too(cli: Cli) -> None:
    first = cli("experiment=pendulum_scratch", *FINETUNE[1:], "replay.capacity=100", name="first")
    second = cli(*FINETUNE, *adopt(first, "final"), "policy.log_std_min=-5", name="second")
    assert summary_of(second)["bc/return"] == summary_of(first)["online/return"]


def test_it_goes_on_where_the_run_that_it_comes_from_has_gone_on(cli: Cli, cloned: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(cloned, tmp_path / "source"))
    first = cli(*TINY, *adopt(source), name="first")
    cli(f"resume={source}", "online.env_steps=36")
    cli(f"resume={first}", "online.env_steps=36")
    assert metrics_of(first)[-1]["step"] == 36


def test_its_density_is_that_of_what_it_samples(cloned: Path) -> None:
    config = compose_config(*FINETUNE, *adopt(cloned), SMALL)
    spaces, env = inspect_env(config.env)
    prior = open_prior(config, spaces, env)
    env.close()
    assert prior is not None and prior.density is not None
    obs = np.array([[0.3, -0.2, 1.0]], dtype=np.float32)
    drawn = prior.sample(obs, 20_000, np.random.default_rng(0), np.zeros(1, np.int64))[0, :, 0]
    actions = torch.linspace(-0.999, 0.999, 2_001)
    density = prior.density.log_prob(torch.from_numpy(obs).expand(len(actions), -1), actions.unsqueeze(-1)).exp()
    assert float(torch.trapezoid(density, actions)) == pytest.approx(1.0, abs=5e-3)
    assert isinstance(spaces.action, ContinuousSpec)
    high = float(spaces.action.high[0])
    assert drawn.mean() / high == pytest.approx(float(torch.trapezoid(density * actions, actions)), abs=0.02)


@pytest.mark.parametrize("env", ["pendulum", "cartpole"])
def test_the_clone_of_another_agent_is_finetuned_as_if_it_were_cloned_here(env: str, cli: Cli) -> None:
    chosen = (*TINY, f"env={env}", "baseline=none", "composition=amortized")
    first, whole = cli(*chosen, "agent=bc", name="first"), cli(*chosen, name="whole")
    again = cli(*chosen, *adopt(first), name="again")
    assert summary_of(again)["online/return"] == summary_of(whole)["online/return"]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["prior.mode=mode"], "prior.mode=mode is not possible: sample with composition=amortized, which follows"),
        (["network.actor.hidden=[8]"], "network.actor.hidden=[8] is not possible: [64, 64]: the network of"),
        (["policy.log_std_min=-3"], "policy.log_std_min=-3.0 is not possible: -1.6: the network of rql π_BC of"),
        (["chunk.length=2"], "chunk.length=2 is not possible: 1, for which rql π_BC of"),
        (["network/actor=resnet"], "network/actor=resnet is not possible: mlp: the network of rql π_BC of"),
    ],
)
def test_what_does_not_fit_its_network_is_refused_before_any_work(
    overrides: list[str], said: str, cli: Cli, cloned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli(*FINETUNE, *adopt(cloned), SMALL, *overrides)
    assert stopped.value.code == 2 and said in capsys.readouterr().err


def test_all_jobs_of_a_sweep_have_to_fit_its_network(
    launch: Launch, cloned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    launch(*adopt(cloned), "network.actor.hidden=[64,64],[32,32]", code=2, short=FINETUNE)
    said = capsys.readouterr().err
    assert "network.actor.hidden=[32, 32] is not possible: [64, 64]" in said and "no job was started" in said


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        (["composition=resample"], "residual or resample: the density of rql π_final of"),
        (["env=cartpole"], "amortized with a policy whose density is known, unlike rql π_final of"),
    ],
)
def test_a_policy_without_a_density_is_refused(
    chosen: list[str], said: str, cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    finetuned = cli(*TINY, *chosen, "baseline=none", name="resampled")
    with pytest.raises(SystemExit):
        cli(*TINY, *chosen, *adopt(finetuned, "final"))
    assert said in capsys.readouterr().err
