"""Policies that are there already as priors: one policy in every form, and what is wrong with others."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Cli, metrics_of, run_once, summary_of, without_times
from forms import forms_of
from opened_priors import FINETUNE, opened
from saved_agents import refused

from rql.agents.exporting import FORMATS, load_exported
from rql.commands import evaluate, export


@pytest.fixture(scope="module")
def cloned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that only cloned, with a network as everybody has it."""
    plain = "network.actor.layer_norm=false"
    return run_once(tmp_path_factory, "plain", "offline.updates=0", "online.env_steps=0", plain)


@pytest.fixture(scope="module")
def forms(cloned: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The clone of one run in every form, as overrides."""
    return forms_of(cloned, tmp_path_factory.mktemp("forms"))


@pytest.mark.filterwarnings("ignore:.torch.jit.load. is deprecated")
@pytest.mark.parametrize("form", ["torchscript", "onnx", "sb3", "python", "process", "another environment"])
def test_a_clone_acts_alike_in_every_form(form: str, forms: dict[str, list[str]]) -> None:
    obs = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    with opened(*forms["run"]) as (_, own), opened(*forms[form]) as (prior, other):
        found = other.propose(obs)
        assert found.shape == (100, 1, 1) and not prior.stochastic and not prior.stateful
        np.testing.assert_allclose(found, own.propose(obs), atol=1e-5)
    assert found.std() > 0.01


def test_a_run_finetunes_a_clone_and_what_it_is_read_from_makes_no_difference(
    cli: Cli, cloned: Path, forms: dict[str, list[str]]
) -> None:
    names = ("run", "python", "torchscript", "sb3", "another environment")
    runs = [cli(*FINETUNE, *forms[form], name=form) for form in names]
    records = [without_times(metrics_of(run)) for run in runs]
    assert records[0] == records[1]
    for others in records[2:]:
        for one, other in zip(records[0], others, strict=True):
            figures = {key: value for key, value in one.items() if key != "stage"}
            assert figures == pytest.approx({key: other[key] for key in figures}, rel=1e-3, abs=1e-3)
    assert summary_of(runs[0])["bc/return"] == summary_of(cloned)["bc/return"]  # it plays the same starts
    assert summary_of(runs[0])["online/return"] != summary_of(runs[0])["bc/return"]


def test_what_was_finetuned_is_evaluated_and_finetuned_again(
    cli: Cli, forms: dict[str, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    import rql

    first = cli(*FINETUNE, *forms["run"], name="first")
    played = {row["policy"]: row["return"] for row in rql.evaluate(first, episodes=2)}
    assert played["bc"] == summary_of(first)["bc/return"] and played["final"] == summary_of(first)["online/return"]
    second = cli(*FINETUNE, "prior=run", f"prior.run={first}", name="second")
    assert summary_of(second)["bc/return"] == summary_of(first)["online/return"]
    printed = capsys.readouterr().out
    assert "finetuning rql π_final of" in printed and "given prior  return" in printed and "π_BC, prior" in printed
    assert "behaviour cloning" not in printed and "0 / 0" not in printed


@pytest.mark.filterwarnings("ignore:.torch.jit")
@pytest.mark.parametrize("form", ["run", "torchscript", "python"])
def test_what_was_finetuned_is_exported_with_its_prior_or_asks_for_proposals(
    form: str, cli: Cli, forms: dict[str, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import rql

    directory = cli(*FINETUNE, *forms[form], "q.learning_rate=0.05", "composition.learning_rate=0.05", "beta.start=3")
    policy, obs = rql.load_policy(directory), np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    clone = rql.load_policy(directory, "bc")
    given = [torch.from_numpy(obs)]
    if form == "python":
        given.append(torch.from_numpy(clone.batch(obs) / 2.0)[:, None])
    for to in FORMATS:
        command = [str(directory), "--to", to, "--out", str(tmp_path / to)]
        if form == "torchscript" and to != "torchscript":
            assert f"--to {to} cannot take TorchScript policy in" in refused(export, command, capsys)
            continue
        assert export.main(command) == 0
        action = load_exported((tmp_path / to).read_bytes(), to)(*given).numpy()
        np.testing.assert_allclose(action, policy.batch(obs), atol=1e-4)
        said = capsys.readouterr().out
        assert ("and proposals (B, 1, 1) float32 in [-1, 1], those of loaded_clone:make" in said) == (form == "python")
    assert np.abs(policy.batch(obs) - clone.batch(obs)).max() > 0.01


def test_a_run_whose_prior_changed_does_not_go_on(
    cli: Cli, forms: dict[str, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "policy.pt").write_bytes(Path(forms["torchscript"][1].removeprefix("prior.path=")).read_bytes())
    chosen = [*FINETUNE, "prior=torchscript", f"prior.path={tmp_path / 'policy.pt'}"]
    cli(*chosen)
    torch.jit.save(torch.jit.script(torch.nn.Linear(3, 1)), tmp_path / "policy.pt")
    with pytest.raises(SystemExit):
        cli(*chosen, "online.env_steps=48")
    changed = f"the prior TorchScript policy in {tmp_path / 'policy.pt'} changed since"
    assert f"{changed} it began" in capsys.readouterr().err
    run, out = str(tmp_path / "run"), str(tmp_path / "out.pt")
    for tool, arguments in ((evaluate, [run]), (export, [run, "--to", "torchscript", "--out", out])):
        assert f"{changed} it was finetuned" in refused(tool, arguments, capsys)


def test_a_run_over_a_prior_with_a_memory_is_a_prior_with_a_memory(cli: Cli) -> None:
    first = cli(*FINETUNE, "prior=python", "prior.target=counting_prior:Drawing", "prior.trusted=true", name="first")
    with opened("prior=run", f"prior.run={first}", "prior.policy=bc") as (prior, proposer):
        assert prior.stateful and prior.stochastic and prior.digest
        places = np.array([2, 0])
        found = np.stack([proposer.propose(np.zeros((2, 3), np.float32), places)[:, 0, 0] for _ in range(4)]) * 2.0
        proposer.begin(np.array([0]))
        last = proposer.propose(np.zeros((2, 3), np.float32), places)[:, 0, 0] * 2.0
    counted = np.append(found, last[None], axis=0) * 100
    assert np.floor(counted).T.tolist() == [[1, 2, 3, 4, 5], [1, 2, 3, 4, 1]]
    assert len(np.unique(counted)) == 10  # and it draws anew each time


def test_the_process_of_a_prior_ends_with_whoever_opened_it(
    cli: Cli, forms: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    import rql

    started: list[Any] = []
    begin = subprocess.Popen

    def noted(*arguments: Any, **named: Any) -> Any:
        started.append(begin(*arguments, **named))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", noted)
    directory = cli(*FINETUNE, *forms["another environment"])
    rql.evaluate(directory, episodes=1)
    policy = rql.load_policy(directory)
    assert [one.poll() is None for one in started if "elsewhere" in str(one.args)] == [False, False, True]
    policy.close()
    assert all(one.poll() is not None for one in started if "elsewhere" in str(one.args))


def test_candidates_of_a_prior_that_samples_are_resampled(
    cli: Cli, forms: dict[str, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = ["composition=resample", "target=soft", "composition.num_candidates=4", "prior.mode=sample", "beta=kl"]
    budget = ["beta.budget_end=0.3", "beta.end_share=1"]
    run = cli(*FINETUNE, *forms["run"], *chosen, *budget, "target.num_samples=4")
    assert 0.0 < summary_of(run)["online/ess"] <= 1.0
    for changed, said in (
        (["target.num_samples=1"], "at least 2 with composition=resample"),
        (["target.num_samples=4", "prior.mode=mode"], "proposes one action in a state"),
    ):
        with pytest.raises(SystemExit):
            cli(*FINETUNE, *forms["run"], *chosen, *budget, *changed, name="refused")
        assert said in capsys.readouterr().err


@pytest.fixture
def bad_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "bad_priors.py").write_text(
        "import numpy as np\n"
        "raises = lambda: (lambda obs: 1 / 0)\nnumber = lambda: 3\nfails = lambda: 1 / 0\n"
        "wide = lambda: (lambda obs: np.zeros((len(obs), 2)))\n"
        "single = lambda: (lambda obs: 0.5)\nragged = lambda: (lambda obs: [[1], [1, 2]])\n"
        "class Chunks:\n    chunk = 'three'\n    sample = None\n"
    )
    torch.save(torch.nn.Linear(3, 1).state_dict(), tmp_path / "weights.pt")
    monkeypatch.chdir(tmp_path)
    sys.path.append(str(tmp_path))
    yield
    sys.path.remove(str(tmp_path))
    sys.modules.pop("bad_priors", None)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["prior=run", "prior.run=/nowhere"], "no agent can be read from /nowhere"),
        (["prior=torchscript", "prior.path=/nowhere"], "prior.path=/nowhere is not possible: a file that can be read"),
        (
            ["prior=torchscript", "prior.path=weights.pt"],
            "it holds what torch.save wrote; torch.jit.script(module).save",
        ),
        (["prior=torchscript", f"prior.path={__file__}"], "no TorchScript policy can be read from"),
        (["prior=sb3", f"prior.path={__file__}"], "prior.trusted=False is not possible: true, once you know"),
        (["prior=python", "prior.target=x"], "prior.trusted=False is not possible: true, once you know"),
        (["prior=python", "prior.target=x", "prior.trusted=true"], "prior.target=x is not possible: package.module"),
        (["prior=python", "prior.target=x:y", "prior.trusted=true"], "No module named 'x'"),
        (["prior=python", "prior.target=bad_priors:number", "prior.trusted=true"], "it makes a int, where a function"),
        (["prior=python", "prior.target=bad_priors:fails", "prior.trusted=true"], "it raised ZeroDivisionError"),
        (["prior=python", "prior.target=bad_priors:raises", "prior.trusted=true"], "raised ZeroDivisionError"),
        (
            ["prior=python", "prior.target=bad_priors:wide", "prior.trusted=true"],
            "(2,) for an observation; (d,) is (1,)",
        ),
        (["prior=python", "prior.target=bad_priors:single", "prior.trusted=true"], "of shape () for 2 observations"),
        (["prior=python", "prior.target=bad_priors:ragged", "prior.trusted=true"], "gives list, which is no array of"),
        (["prior=python", "prior.target=bad_priors:Chunks", "prior.trusted=true"], "its chunk is 'three', where a"),
        (["prior=torchscript", "prior.path=x", "composition=amortized"], "composition=amortized is not possible"),
        (["prior=run", "prior.run=x", "composition=resample", "cql=light"], "cql.alpha=0.0003 is not possible: 0 with"),
        (["prior=run", "prior.run=x", "policy=flow"], "policy.name=flow is not possible: auto with prior=run"),
        (["prior=run", "prior.run=x", "baseline=mean"], "baseline=mean is not possible: none without a data set"),
        (["prior=process", "prior.command=x", "prior.max_restarts=-1"], "prior.max_restarts=-1 is not possible: at"),
        (["prior=run", "prior.run=x", "baseline=value"], "baseline=value is not possible: none without"),
        (["prior=run", "prior.run=x", "bc.updates=5"], "bc.updates=5 is not possible: 0 with prior=run"),
        (["prior=run", "prior.run=x", "agent=iql"], "prior=run is not possible: bc with agent=iql"),
        (["prior=run", "prior.run=x", "env=cartpole"], "bc: the actions of CartPole-v1 are discrete"),
    ],
)
def test_what_cannot_be_a_prior_is_refused_before_any_work(
    overrides: list[str], said: str, cli: Cli, tmp_path: Path, bad_modules: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli(*FINETUNE, *overrides)
    assert stopped.value.code == 2 and said in capsys.readouterr().err
    assert not (tmp_path / "run").exists() or not any((tmp_path / "run").iterdir())
