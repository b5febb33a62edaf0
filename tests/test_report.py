"""Reports: statistics that equal rliable's, arms that are found, a page that needs nothing but itself."""

import csv
import json
import re
import shlex
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy import stats

from rql.commands import report
from rql.reports.comparison import compare
from rql.reports.grouping import find_factors
from rql.reports.report import PAGE, write_report
from rql.reports.runs import Status, read_run
from rql.reports.scores import outcome, returns
from rql.reports.statistics import bootstrap, estimate, improvement, iqm, mean, median, optimality_gap, profile
from rql.utils.errors import RQLError

FIXTURE: dict[str, Any] = json.loads((Path(__file__).parent / "rliable.json").read_text())
"""What rliable 1.2.0 says of two made-up sets of scores (runs × tasks), by the script that is in the file."""
LINEAR = {"start": 0.1, "end": 1.0, "start_step": 0, "end_step": None}


def tasks_of(name: str) -> list[Any]:
    return list(np.array(FIXTURE[name]).T)


def write_run(folder: Path, seed: int, config: dict[str, Any] | None = None, **more: Any) -> Path:
    """The records of a finished run: π_BC at 100, offline at 110 + seed, then online 60 to 150 + 10 seed + gain."""
    gain, env, scored = more.get("gain", 0.0), more.get("env", "Pendulum-v1"), more.get("scored", False)
    plain = {
        "env": {"id": env, "kwargs": {}},
        "cql": {"alpha": 1e-3},
        "beta": LINEAR,
        "tracking": {"name": f"run {seed}"},
        "threads": seed + 1,
        "seed": seed,
    }
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(plain | (config or {})))
    end = 150.0 + 10.0 * seed + gain
    points = [("bc", 10, 100.0), ("offline", 5, 70.0), ("offline", 10, 110.0 + seed)]
    points += [("online", 50, 60.0), ("online", 100, end)]
    lines: list[dict[str, Any]] = [
        {"stage": stage, "step": step, "time": step, "return": r} for stage, step, r in points
    ]
    if scored:
        lines = [line | {"normalized_score": line["return"] / 2.0} for line in lines]
    lines.insert(1, {"stage": "offline", "step": 1, "time": 1.0, "td_loss": 0.5})
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    summary = {"wall_seconds": 60.0 + seed, "env_steps_per_second": 50.0, "seed": seed, "online/return": end}
    (folder / "summary.json").write_text(json.dumps(summary))
    attempt = {"started": "2026-01-01T00:00:00+00:00", "host": "h", "code_version": "0.1.0+gabc", "changes": {}}
    overrides = more.get("overrides", [f"seed={seed}"])
    choices = {"dataset": "demo", "beta": "linear", "composition": "amortized"} | more.get("choices", {})
    told = {"config_name": "config", "overrides": overrides, "choices": choices, "attempts": [attempt]}
    (folder / "run.json").write_text(json.dumps(told))
    return folder


def write_job(folder: Path, status: str, overrides: list[str], error: str | None = None, **more: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    job = {"id": folder.name, "overrides": overrides, "status": status, "started": None, "ended": None, "error": error}
    (folder / "job.json").write_text(json.dumps(job | more))


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two arms × three seeds, and a run that failed, one that is missing, one damaged, one killed."""
    folder = tmp_path_factory.mktemp("runs") / "sweep"
    for seed in range(3):
        for alpha in (1e-3, 1e-2):
            name = f"{alpha:g}-{seed}"
            overrides = [f"cql.alpha={alpha}", f"seed={seed}", "tracking.notes='it''s <b>here</b> | $x'"]
            gain = 40.0 if alpha == 1e-2 else 0.0
            write_run(folder / name, seed, {"cql": {"alpha": alpha}}, gain=gain, overrides=overrides)
            write_job(folder / name, "done", overrides)
    failed = write_run(folder / "failed", 3, {"cql": {"alpha": 1e-2}})
    (failed / "summary.json").unlink()
    write_job(failed, "failed", ["seed=3"], "Traceback\nRuntimeError: out of <memory>")
    write_job(folder / "missing", "queued", ["seed=4", "+env.kwargs.x='a b'"])
    damaged = write_run(folder / "damaged", 5)
    (damaged / "metrics.jsonl").write_text('{"stage": "bc", "st')
    killed = write_run(folder / "killed", 6)
    (killed / "summary.json").unlink()
    with (killed / "metrics.jsonl").open("a") as lines:
        lines.write('{"stage": "online", "step": 150, "ret')
    return folder


@pytest.fixture(scope="module")
def made(sweep: Path) -> Path:
    """The report that the command makes of the sweep."""
    assert report.main([str(sweep)]) == 0
    return sweep / "report"


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize("name", ["x", "y"])
def test_statistics_and_their_intervals_equal_those_of_rliable(name: str) -> None:
    lows, highs = FIXTURE["intervals"][name]
    for position, statistic in enumerate((mean, median, iqm, optimality_gap)):
        found = estimate(tasks_of(name), statistic)
        assert found.value == pytest.approx(FIXTURE["estimates"][name][position], abs=1e-12)
        assert found.low == pytest.approx(lows[position], abs=0.02)
        assert found.high == pytest.approx(highs[position], abs=0.02)


def test_probability_of_improvement_equals_that_of_rliable() -> None:
    found = estimate([*tasks_of("x"), *tasks_of("y")], improvement)
    assert found.value == pytest.approx(FIXTURE["improvement"], abs=1e-12)
    assert (found.low, found.high) == pytest.approx(tuple(FIXTURE["improvement_interval"]), abs=0.02)


@pytest.mark.parametrize("name", ["x", "y"])
def test_performance_profiles_equal_those_of_rliable(name: str) -> None:
    found = profile(tasks_of(name), np.array(FIXTURE["taus"]))
    assert found.value == pytest.approx(np.array(FIXTURE["profile"][name]))
    assert found.low is not None and found.high is not None
    assert np.stack([found.low, found.high]) == pytest.approx(np.array(FIXTURE["profile_intervals"][name]), abs=0.051)


def test_the_bootstrap_equals_drawing_runs_within_each_task_one_by_one() -> None:
    rng = np.random.default_rng(1)
    tasks = [rng.normal(size=4), 3.0 + rng.normal(size=7)]
    drawn = []
    for _ in range(4000):
        again = np.concatenate([[task[rng.integers(len(task))] for _ in task] for task in tasks])
        ordered = np.sort(again)
        drawn.append(ordered[2:-2].mean())  # a quarter of 11 is 2 at either end
    found = estimate(tasks, iqm)
    assert found.value == pytest.approx(np.sort(np.concatenate(tasks))[2:-2].mean())
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])), abs=0.05)


def test_probability_of_improvement_counts_pairs_and_ties_half() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.integers(0, 4, size=6).astype(float), rng.integers(0, 4, size=5).astype(float)
    by_hand = sum((a > b) + 0.5 * (a == b) for a in x for b in y) / 30
    assert improvement(x, y) == pytest.approx(by_hand)
    assert improvement(x, y) == pytest.approx(stats.mannwhitneyu(x, y).statistic / 30)


def test_a_curve_draws_runs_and_not_points() -> None:
    run = np.array([0.0, 10.0, 20.0])
    found = bootstrap([np.stack([run, run + 1.0, run + 2.0], axis=-1)], mean)
    assert found.low is not None
    assert np.diff(found.low) == pytest.approx([10.0, 10.0])


def test_one_run_has_no_interval() -> None:
    assert estimate([np.array([3.0])], mean) == (3.0, None, None)
    assert estimate([np.array([3.0]), np.array([1.0, 2.0])], iqm).low is None
    assert median(np.array([1.0, 5.0, 6.0])) == 5.0  # over runs, where there is one task


def test_what_a_run_achieved(tmp_path: Path) -> None:
    found = outcome(read_run(write_run(tmp_path / "run", 2)), returns)
    assert (found.bc, found.offline, found.finetuned, found.final, found.jump) == (100.0, 112.0, 170.0, 170.0, 58.0)
    assert found.area == pytest.approx(((112 + 60) / 2 * 50 + (60 + 170) / 2 * 50) / 100)
    assert found.area_over_bc == pytest.approx(0.5)
    assert (found.worst_offline, found.worst_online) == (-30.0, -40.0)


def test_each_run_is_found_once_with_what_became_of_it(sweep: Path) -> None:
    found = {run.directory.name: run for run in compare([sweep, sweep / "killed", sweep.parent], None).runs}
    assert len(found) == 10
    assert found["0.01-2"].status is Status.finished
    assert (found["failed"].status, found["failed"].reason) == (Status.failed, "RuntimeError: out of <memory>")
    assert (found["missing"].status, found["missing"].reason) == (Status.missing, "its job is queued")
    assert found["damaged"].status is Status.damaged
    assert found["damaged"].reason == "metrics.jsonl: line 1 cannot be read"
    assert (found["killed"].status, len(found["killed"].evaluations)) == (Status.unfinished, 5)
    assert shlex.split(found["missing"].command) == ["python", "run.py", "seed=4", "+env.kwargs.x='a b'"]


@pytest.mark.parametrize(
    ("file", "content"),
    [("summary.json", "{"), ("config.yaml", "a: ["), ("metrics.jsonl", '{"stage": "bc", "step": 1, "return": NaN}\n')],
)
def test_a_damaged_run_is_listed_with_its_file(tmp_path: Path, file: str, content: str) -> None:
    folder = write_run(tmp_path / "run", 0)
    (folder / file).write_text(content)
    found = read_run(folder)
    assert found.status is Status.damaged
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
    assert [arm.label for arm in found.arms] == ["cql.alpha=0.001", "cql.alpha=0.01"]
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
    copies = {run.reason for run in found.runs if run.status is Status.duplicate}
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


class Links(HTMLParser):
    """What a page would fetch."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        if tag not in ("meta", "link", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_nothing_but_itself_and_has_every_arm_and_run(sweep: Path, made: Path) -> None:
    page = (made / PAGE).read_text()
    links = Links(page)
    assert not links.open
    assert all(link.startswith("data:") for link in links.found)
    assert "url(" not in page
    assert "<script" not in page
    for shown in (
        "cql.alpha=0.001",
        "cql.alpha=0.01",
        "out of &lt;memory&gt;",
        "its job is queued",
        "line 1 cannot be read",
    ):
        assert shown in page
    assert "<memory>" not in page
    assert "<b>here" not in page
    again = rows_of(made / "runs.csv")
    overrides = json.loads((sweep / "0.01-1" / "run.json").read_text())["overrides"]
    command = next(row["command"] for row in again if row["run"] == "0.01-1")
    assert shlex.split(command) == ["python", "run.py", *overrides]


def test_the_csv_equals_the_records(sweep: Path, made: Path) -> None:
    for row in rows_of(made / "runs.csv"):
        if row["status"] == "finished":
            summary = json.loads((sweep / row["run"] / "summary.json").read_text())
            assert float(row["final"]) == summary["online/return"]
            assert (int(row["seed"]), float(row["wall_seconds"])) == (summary["seed"], summary["wall_seconds"])
    final = {row["arm"]: row for row in rows_of(made / "final.csv")}
    assert {arm: float(row["mean return"]) for arm, row in final.items()} == {
        "cql.alpha=0.001": 160.0,
        "cql.alpha=0.01": 200.0,
    }
    low, high = (float(final["cql.alpha=0.01"][f"mean return, {end}"]) for end in ("low", "high"))
    assert 190.0 <= low < 200.0 < high <= 210.0
    assert float(rows_of(made / "improvement.csv")[0]["P(X > Y)"]) == 0.0
    curve = [
        row for row in rows_of(made / "curves.csv") if row["stage"] == "online" and row["arm"] == "cql.alpha=0.001"
    ]
    assert [float(row["step"]) for row in curve] == [0.0, 50.0, 100.0]
    assert [float(row["iqm"]) for row in curve] == [111.0, 60.0, 160.0]


def test_what_markdown_links_to_is_there(made: Path) -> None:
    links = re.findall(r"\]\(([^)]+)\)", (made / "report.md").read_text())
    assert {Path(link).suffix for link in links} == {".png", ".pdf", ".csv"}
    assert all((made / link).stat().st_size for link in links)


def test_several_tasks_are_compared_by_scores(tmp_path: Path) -> None:
    for env, gain in (("Hopper-v5", 0.0), ("Ant-v5", 20.0)):
        for seed in range(2):
            for alpha in (0.0, 1.0):
                config = {"cql": {"alpha": alpha}}
                write_run(tmp_path / "runs" / f"{env}{seed}{alpha}", seed, config, env=env, gain=gain, scored=True)
    out = write_report([tmp_path / "runs"], tmp_path / "out").parent
    row = rows_of(out / "final.csv")[0]
    assert float(row["mean normalised score"]) == pytest.approx((0.75 + 0.80 + 0.85 + 0.90) / 4)
    assert float(row["optimality gap of the score"]) == pytest.approx(1 - 0.825)
    assert {key: float(value) for key, value in rows_of(out / "tasks.csv")[0].items() if key.endswith("v5")} == {
        "Hopper-v5": 155.0,
        "Ant-v5": 175.0,
    }


def test_scores_without_references_go_from_the_clone_to_the_best_run(tmp_path: Path) -> None:
    for env, gain in (("Hopper-v5", 0.0), ("Ant-v5", -100.0)):
        for seed in range(2):
            write_run(tmp_path / f"{env}{seed}", seed, env=env, gain=gain)
    found = compare([tmp_path], None)
    finals = {run.directory.name: found.outcomes[run.directory].final for run in found.finished}
    assert finals["Hopper-v51"] == pytest.approx(1.0)
    assert finals["Hopper-v50"] == pytest.approx(50 / 60)
    assert (finals["Ant-v50"], finals["Ant-v51"]) == pytest.approx((-1.0, -0.8))


def test_one_seed_and_none_at_all_are_reported_too(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", 0)
    page = write_report([run], tmp_path / "one").read_text()
    assert "no interval can be given" in page
    (run / "summary.json").unlink()
    assert "nothing to compare" in write_report([run], tmp_path / "none").read_text()


def test_a_report_replaces_a_report_and_nothing_else(
    sweep: Path, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(made, out)
    write_report([sweep], out, ["seed"])
    assert not list(out.glob("figures/*cql.alpha*"))
    assert (out / "figures" / "sensitivity-seed.png").exists()
    with pytest.raises(SystemExit) as ended:
        report.main([str(sweep), "--out", str(sweep)])
    assert ended.value.code == 2
    assert "something that is no report" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["nowhere"], "nowhere is no folder"), (["empty"], "no run found in empty"), ([], "required: DIR")],
)
def test_what_cannot_be_reported_is_refused_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        report.main(arguments)
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert said in printed
    assert printed.count("\n") == 1


def test_reports_are_reproducible(sweep: Path, made: Path, tmp_path: Path) -> None:
    again = write_report([sweep], tmp_path / "again").parent
    names = [path.relative_to(made) for path in made.rglob("*.*") if path.suffix in (".csv", ".png", ".pdf")]
    assert {path.suffix for path in names} == {".csv", ".png", ".pdf"}
    assert all((made / name).read_bytes() == (again / name).read_bytes() for name in names)
