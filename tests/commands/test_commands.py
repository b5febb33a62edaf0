"""The command line from outside, and the same from Python."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, TINY, summary_of
from hydra.core.global_hydra import GlobalHydra

import rql
from rql.__main__ import COMMANDS
from rql.__main__ import main as rql_main
from rql.config.files import composing

SHORT = [*TINY, "offline.updates=0", "online.env_steps=0"]
HEAVY = {"torch", "gymnasium", "minari", "wandb", "matplotlib", "h5py", "scipy", "optuna", "joblib"}


def of_a_process(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True)


def test_help_imports_nothing_heavy() -> None:
    asked = ["", "-h", "--version", *(f"{name} --help" for name in COMMANDS), "train --cfg job"]
    code = f"""
import contextlib, io, sys, time
from rql.__main__ import main
for arguments in {asked}:
    before, printed = time.process_time(), io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            code = main(arguments.split())
        except SystemExit as stop:
            code = stop.code
    loaded, took = {HEAVY} & set(sys.modules), time.process_time() - before
    assert not code and not loaded and took < 1.5 and printed.getvalue(), (arguments, code, loaded, took)
"""
    answer = of_a_process("-c", code)
    assert answer.returncode == 0, answer.stderr


def test_updates_as_they_are_written_wait_for_neither_the_compiler_nor_matplotlib() -> None:
    code = """
import sys, torch, rql.runs.run
from rql.optim.adam import descend, learned
descend(learned({"p": torch.ones(1)}), lambda params: (params["p"].sum(), {}), torch.tensor(0.1))
loaded = {"torch._dynamo", "matplotlib"} & set(sys.modules)
assert not loaded, loaded
"""
    answer = of_a_process("-c", code)
    assert answer.returncode == 0, answer.stderr


def test_the_list_of_commands_names_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert rql_main(["--help"]) == 0
    listed = capsys.readouterr().out
    assert all(f"  {name} " in listed for name in COMMANDS)


@pytest.mark.parametrize("name", ["train", "collect"])
def test_help_takes_overrides_too(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert rql_main([name, "env=cartpole", "-h"]) == 0
    assert f"rql {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["trian"], "trian is no command; there are train, evaluate"),
        (["train", "--sead", "1"], "unrecognized arguments: --sead"),
        (["collect", "--sead", "1"], "unrecognized arguments: --sead"),
        (["report"], "required: DIR"),
        (["evaluate", "--episodes", "0", "x"], "0 is no whole number of at least 1"),
        (["data"], "required: COMMAND"),
        (["data", "lst"], "invalid choice: 'lst'"),
        (["track", "sink"], "invalid choice: 'sink'"),
    ],
)
def test_wrong_arguments_end_in_one_sentence(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        rql_main(arguments)
    answer = capsys.readouterr()
    assert stop.value.code == 2 and not answer.out
    assert answer.err.startswith("error: ") and answer.err.count("\n") == 1 and said in answer.err


def test_the_module_and_the_checkout_have_one_entry() -> None:
    module, checkout = of_a_process("-m", "rql", "train", "--help"), of_a_process("run.py", "--help")
    assert module.stdout == checkout.stdout and "rql train" in module.stdout


def test_python_trains_as_the_command_line_does_and_it_is_evaluated_and_acts(finished: Path, tmp_path: Path) -> None:
    run = rql.train(TINY, tmp_path / "python")
    assert run.directory == tmp_path / "python"
    assert run.summary == summary_of(run.directory)
    timeless = {key for key in run.summary if "second" not in key}
    assert {key: run.summary[key] for key in timeless} == {key: summary_of(finished)[key] for key in timeless}
    assert (run.directory / "run.json").exists()
    results = rql.evaluate(run.directory, mode="both", episodes=3)
    assert [(result["policy"], result["mode"]) for result in results] == [
        *(("bc", "mode"), ("bc", "sample")),
        *(("final", "mode"), ("final", "sample")),
    ]
    assert all(len(result["returns"]) == 3 for result in results)
    assert np.shape(rql.load_policy(run.directory)(np.zeros(3))) == (1,)
    with pytest.raises(rql.RQLError, match="best"):
        rql.evaluate(run.directory, policy="best")


def test_a_run_from_python_has_a_folder_of_its_own_and_goes_on_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = rql.train(SHORT)
    assert run.directory.is_relative_to(tmp_path / "outputs") and "online/return" not in run.summary
    longer = rql.train([f"resume={run.directory}", "online.env_steps=24"])
    assert longer.directory == run.directory and "online/return" in longer.summary


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["beta=quadratic"], "beta/quadratic"),
        (["cql=1e-3"], "cql=1e-3 is not possible: one of light, off"),
        (["hydra/launcher=3"], "Config group override must be a string or a list"),
        (["beta.strat=1"], "Its keys are: start"),
        (["q.discount=2"], "q.discount=2.0 is not possible"),
        (["seed=0,1"], "To sweep over it"),
        (["sweep=grid"], "train makes one run"),
        (["jobs.seeds=[0,1]"], "jobs.seeds=[0, 1] is not possible: empty in a single run"),
        (["resume=/no/where"], "resume=/no/where is not possible"),
    ],
)
def test_what_python_cannot_train_is_an_error_in_one_sentence(overrides: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(rql.RQLError) as error:
        rql.train(["tracking=disabled", *overrides], tmp_path / "run")
    assert said in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_process_that_uses_hydra_for_something_else_can_train(tmp_path: Path) -> None:
    with composing():
        own = GlobalHydra.instance().hydra
        rql.train(SHORT, tmp_path / "run")
        assert GlobalHydra.instance().hydra is not None and own is not None
    assert not GlobalHydra.instance().is_initialized()


def test_the_package_says_what_it_offers() -> None:
    assert all(getattr(rql, name) is not None for name in rql.__all__)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = rql.trian
