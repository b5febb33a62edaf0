"""What a report reads of runs, and into which arms it sorts them."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from made_runs import LINEAR, rows_of, write_job, write_run, write_sweep

from rql.reports.comparison import compare
from rql.reports.grouping import find_factors
from rql.reports.report import write_report
from rql.reports.runs import RunStatus, read_run
from rql.reports.scores import outcome, returns
from rql.utils.errors import RQLError


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two arms × three seeds, and a run that failed, one that is missing, one damaged, one killed."""
    return write_sweep(tmp_path_factory.mktemp("runs") / "sweep")


def test_what_a_run_achieved(tmp_path: Path) -> None:
    found = outcome(read_run(write_run(tmp_path / "run", 2)), returns)
    assert found.ends == {"bc": 100.0, "offline": 112.0, "online": 170.0}
    assert (found.baseline, found.final, found.jump) == (100.0, 170.0, 58.0)
    assert found.areas == {"online": pytest.approx(((112 + 60) / 2 * 50 + (60 + 170) / 2 * 50) / 100)}
    assert found.areas_over_baseline == {"online": pytest.approx(0.5)}
    assert found.worst == {"offline": -30.0, "online": -40.0}


def test_the_worst_evaluation_is_found_beside_the_baseline_in_the_same_episodes(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", 2) / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if line["stage"] == "online":
            line["baseline_return"] = 55.0
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    found = outcome(read_run(path.parent), returns)
    assert found.worst == {"offline": -30.0, "online": 5.0} and found.dip == 5.0 and found.gain == 70.0
    assert found.areas_over_baseline == {"online": pytest.approx(((12 + 5) / 2 * 50 + (5 + 115) / 2 * 50) / 100)}


def test_each_run_is_found_once_with_what_became_of_it(sweep: Path) -> None:
    found = {run.directory.name: run for run in compare([sweep, sweep / "killed", sweep.parent], None).runs}
    assert len(found) == 10
    assert found["0.01-2"].status is RunStatus.finished
    assert (found["failed"].status, found["failed"].reason) == (RunStatus.failed, "RuntimeError: out of <memory>")
    assert (found["missing"].status, found["missing"].reason) == (RunStatus.missing, "its job is queued")
    assert found["damaged"].status is RunStatus.damaged
    assert found["damaged"].reason == "metrics.jsonl: line 1 cannot be read"
    assert (found["killed"].status, len(found["killed"].evaluations)) == (RunStatus.unfinished, 5)
    assert shlex.split(found["missing"].command) == ["python", "run.py", "seed=4", "+env.kwargs.x='a b'"]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("summary.json", "{"),
        ("config.yaml", "a: ["),
        ("metrics.jsonl", '{"stage": "bc", "step": 1, "return": NaN}\n'),
        ("run.json", "{}"),
    ],
)
def test_a_damaged_run_is_listed_with_its_file(tmp_path: Path, file: str, content: str) -> None:
    folder = write_run(tmp_path / "run", 0)
    (folder / file).write_text(content)
    found = read_run(folder)
    assert found.status is RunStatus.damaged
    assert found.reason.startswith(f"{file}: ")


def test_the_command_has_what_was_changed_later_and_makes_one_run_of_a_job_of_a_sweep(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", 0)
    told = json.loads((folder / "run.json").read_text())
    told["attempts"].append({"changes": {"online.env_steps": [40, 80], "evaluation.x": [1, None]}})
    told["overrides"].append("sweep=grid")
    (folder / "run.json").write_text(json.dumps(told))
    words = shlex.split(read_run(folder).command)
    assert words == [
        *("python", "run.py", "hydra.mode=RUN", "seed=0", "sweep=grid"),
        *("online.env_steps=80", "evaluation.x=null"),
    ]


def test_arms_are_what_differs(sweep: Path) -> None:
    found = compare([sweep], None)
    assert [factor.name for factor in found.factors] == ["cql.alpha"]
    assert [arm.label for arm in found.arms] == ["cql.alpha=0.01", "cql.alpha=0.001"]  # the best first
    assert [len(found.finished_of(arm)) for arm in found.arms] == [3, 3]


def test_a_group_stands_for_its_keys_and_one_key_for_those_that_change_with_it(tmp_path: Path) -> None:
    for number, (beta, sizes) in enumerate([("linear", 64), ("constant", 64), ("constant", 128)]):
        inner = LINEAR if beta == "linear" else {"value": 0.5}
        network = {"actor": {"hidden": [sizes]}, "critic": {"hidden": [sizes]}}
        changed = {"beta": inner, "network": network, "batch_size": 2 * sizes}
        typed = [f"network={'small' if sizes == 64 else 'medium'}"]
        write_run(tmp_path / str(number), 0, changed, choices={"beta": beta}, overrides=typed)
    found = compare([tmp_path], None)
    assert {factor.name: set(factor.also) for factor in found.factors} == {
        "network": {"batch_size"},
        "beta": set(),
    }
    assert {arm.label for arm in found.arms} == {
        "network=small, beta=linear",
        "network=small, beta=constant",
        "network=medium, beta=constant",
    }


def test_choices_of_the_same_keys_are_told_apart_by_what_the_runs_recorded(tmp_path: Path) -> None:
    for beta in ("linear", "cosine"):
        for seed in (0, 1):
            write_run(tmp_path / f"{beta}{seed}", seed, choices={"beta": beta})
    found = compare([tmp_path], None)
    assert {arm.label: len(arm.runs) for arm in found.arms} == {"beta=linear": 2, "beta=cosine": 2}


def test_a_choice_that_decides_all_that_differs_stands_for_it(tmp_path: Path) -> None:
    changed: dict[str, dict[str, Any]] = {
        "none": {},
        "target": {"target": {"name": "max"}},
        "cql": {"cql": {"alpha": 0.0}},
    }
    for name, config in changed.items():
        write_run(tmp_path / name, 0, config, overrides=[f"ablation={name}", "seed=0"])
    found = compare([tmp_path], None)
    assert {arm.label for arm in found.arms} == {"ablation=none", "ablation=target", "ablation=cql"}
    assert set(found.factors[0].also) == {"target.name", "cql.alpha"}


def test_a_run_that_was_made_twice_counts_once(tmp_path: Path) -> None:
    for place in ("a", "b"):
        for seed in (0, 1):
            write_run(tmp_path / place / str(seed), seed, {"threads": 3 if place == "a" else 4})
    found = compare([tmp_path], None)
    assert [run.seed for run in found.finished] == [0, 1]
    copies = {run.reason for run in found.runs if run.status is RunStatus.duplicate}
    assert copies == {f"the same run as {tmp_path / 'a' / str(seed)}" for seed in (0, 1)}


def test_a_job_that_never_began_has_its_arm(tmp_path: Path) -> None:
    write_run(tmp_path / "a", 0)
    write_run(tmp_path / "b", 0, {"cql": {"alpha": 1.0}})
    planned = yaml.safe_load((tmp_path / "b" / "config.yaml").read_text()) | {"seed": 1}
    write_job(tmp_path / "c", "queued", ["seed=1"], config=planned, choices={"beta": "linear"})
    write_report([tmp_path], tmp_path / "out")
    (row,) = [row for row in rows_of(tmp_path / "out" / "final.csv") if row["arm"] == "cql.alpha=1"]
    assert row["runs"] == "1 of 2"


def test_what_the_task_decides_makes_no_arm(tmp_path: Path) -> None:
    for env, updates in (("Hopper-v5", 10), ("Ant-v5", 20)):
        for alpha in (0.0, 1.0):
            config = {"cql": {"alpha": alpha}, "offline": {"updates": updates}}
            write_run(tmp_path / f"{env}{alpha}", 0, config, env=env)
    assert [factor.name for factor in compare([tmp_path], None).factors] == ["cql.alpha"]


def test_by_takes_keys_and_groups_and_says_what_there_is(sweep: Path) -> None:
    runs = [run for run in compare([sweep], None).runs if run.config]
    assert [factor.name for factor in find_factors(runs, ["seed", "beta", "beta.start"])] == [
        "seed",
        "beta",
        "beta.start",
    ]
    with pytest.raises(RQLError, match=r"--by cql\.alhpa is not possible: .* cql\.alpha"):
        find_factors(runs, ["cql.alhpa"])
