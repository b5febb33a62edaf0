"""What a sweep is going to do: named, checked and refused before any job."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, Launch, compose_config

from rql.commands import sweep as command
from rql.sweep.identity import identity, sweep_name
from rql.sweep.plan import arms, parse


def test_the_identity_of_a_job_is_what_decides_what_it_finds() -> None:
    one = identity(compose_config("seed=1"))
    for same in (
        "tracking=disabled",
        "device=cuda",
        "threads=2",
        "checkpoint.steps=5",
        "dataset.root=x",
        "resume=never",
    ):
        assert identity(compose_config("seed=1", same)) == one
    for other in ("seed=2", "beta=cosine", "q.tau=0.02", "dataset.episodes=5", "+env.kwargs.g=9"):
        assert identity(compose_config("seed=1", other)) != one


def test_the_folder_of_a_sweep_stays_as_values_are_added() -> None:
    base = {"seed": 0, "q.tau": 0.1, "beta": "linear", "beta.end": 1.0}
    name = sweep_name(base, ["beta"], None)
    assert name.startswith("beta+seed-")
    assert name == sweep_name({"seed": 3, "q.tau": 0.1, "beta": "constant", "beta.value": 2}, ["seed", "beta"], None)
    assert name != sweep_name(base | {"q.tau": 0.2}, ["beta"], None)
    assert sweep_name(base, ["beta"], "grid").startswith("grid-")


def _of_another_sweep(directory: Path) -> None:
    directory.mkdir()
    sweep: dict[str, Any] = {"base": {"q.tau": 0.5, "seed": 3}, "swept": ["beta"], "jobs": [], "launches": []}
    (directory / "sweep.json").write_text(json.dumps(sweep))


def _of_a_run(directory: Path) -> None:
    directory.mkdir()
    (directory / "config.yaml").write_text("seed: 1")


def _damaged(directory: Path) -> None:
    directory.mkdir()
    (directory / "sweep.json").write_text("{")


@pytest.mark.parametrize(
    ("prepare", "overrides", "said"),
    [
        (None, ["beta.ende=1,2"], "beta.ende: Key 'ende' not in 'LinearBetaConfig'. Its keys are: start, end"),
        (None, ["seed=0,1", "betta=linear"], "betta"),
        (None, ["network=small,huge"], "huge"),
        (None, ["cql.alpha=1e-3,-1"], "cql.alpha=-1.0 is not possible: at least 0 (in the job cql.alpha=-1; no job"),
        (None, ["seed=0,x"], "seed"),
        (Path.touch, ["seed=0,1"], "the sweep cannot be recorded in"),
        (_of_another_sweep, ["seed=0,1"], "holds a sweep with other values: "),
        (_of_another_sweep, ["q.tau=0.1,0.2"], "holds a sweep over beta, and not q.tau"),
        (_of_a_run, ["seed=0,1"], "holds a single run"),
        (None, ["seed=0,1", "resume=outputs/x"], "resume=outputs/x is not possible: auto or never in a sweep"),
        (_damaged, ["seed=0,1"], "sweep.json cannot be read"),
        (None, ["seed=0,1", "hydra/launcher=ray"], "pip install 'rql[ray]'"),
    ],
)
def test_what_cannot_be_swept_is_refused_before_any_job(
    prepare: Callable[[Path], None] | None,
    overrides: list[str],
    said: str,
    tmp_path: Path,
    launch: Launch,
    capsys: Any,
) -> None:
    if prepare:
        prepare(tmp_path / "sweep")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    launch(*overrides, code=2)
    found = capsys.readouterr().err.strip()
    assert found.startswith("error: ") and said in found and "\n" not in found
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["status", "/no/where"], "/no/where holds no sweep"),
        (["retry", "/no/where"], "/no/where holds no sweep"),
        (["statu", "."], "invalid choice"),
        ([], "required: COMMAND"),
    ],
)
def test_what_the_command_cannot_do_it_says(arguments: list[str], said: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as stop:
        command.main(arguments)
    assert stop.value.code == 2 and said in capsys.readouterr().err


@pytest.mark.parametrize("path", sorted((ROOT / "sweeps").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_sweeps_that_come_with_it_can_run(path: Path) -> None:
    compose_config(f"sweep={path.stem}")
    content = yaml.safe_load(path.read_text())
    assert content["hydra"]["mode"] == "MULTIRUN" and "python run.py sweep=" in path.read_text()
    if path.stem == "optuna":
        return
    from hydra import initialize_config_dir

    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        jobs = arms("config", parse(content["hydra"]["sweeper"]["params"], [f"sweep={path.stem}", "seed=0,1"]))
    sizes = {"grid": 24, "seeds": 2, "benchmark": 10, "ablation": 14}
    assert len(jobs) == sizes[path.stem]
