"""Sweeps: every job runs once, however often the sweep is started, and whatever happens to it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import TINY, Launch, attempts_of
from made_runs import write_run

from rql.commands import sweep as command
from rql.config.agents.base import AgentTable, StageData, StageInfo
from rql.sweep.folder import jobs_of
from rql.sweep.jobs import Job, JobStatus, write


def files_of(directory: Path) -> dict[Path, tuple[int, bytes]]:
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes())
        for path in directory.glob("*/*")
        if path.is_file() and path.suffix != ".lock"
    }


def test_a_sweep_started_again_runs_what_is_new_and_nothing_else(launch: Launch, capsys: Any) -> None:
    directory = launch("seed=0", "beta=constant,linear")
    configs = [yaml.safe_load(path.read_text()) for path in directory.glob("*/config.yaml")]
    assert sorted((c["seed"], "value" in c["beta"]) for c in configs) == [(0, False), (0, True)]
    assert all(c["tracking"]["group"] == "sweep" for c in configs)
    before = files_of(directory)
    capsys.readouterr()
    launch("seed=0,1", "beta=constant,linear", "jobs.report=true")
    said = capsys.readouterr().out
    page = (directory / "report" / "index.html").read_text()
    assert all(job.id in page for job in jobs_of(directory)) and "the report is" in said
    told = [json.loads(path.read_text())["swept"] for path in directory.glob("*/run.json")]
    assert {"seed": 1, "beta": "linear"} in told
    assert "sweep over seed, beta: 4 jobs, 2 done" in said and "4 jobs: 4 done" in said
    after = files_of(directory)
    assert {path: after[path] for path in before} == before
    assert attempts_of(directory) == {job.id: 1 for job in jobs_of(directory)} and len(attempts_of(directory)) == 4


def test_a_job_that_fails_does_not_stop_the_others_and_is_run_again_by_retry(
    launch: Launch, tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    preset = "# @package _global_\ndefaults: [override /hydra/launcher: joblib]\nhydra: {launcher: {n_jobs: 1}}\n"
    (tmp_path / "own" / "experiment" / "aside.yaml").write_text(preset)
    own = ["experiment=aside", "--config-dir", str(tmp_path / "own")]
    directory = launch("bc.learning_rate=1e30,1e-3", *own, code=1)
    said = capsys.readouterr().out
    failed, done = jobs_of(directory)
    assert (failed.status, done.status) == (JobStatus.failed, JobStatus.done)
    reason = "training diverged: "
    assert failed.error and reason in failed.error and f"{failed.id} failed: {reason}" in said
    assert "2 jobs: 1 done, 1 failed" in said
    assert command.main(["status", str(directory)]) == 0
    assert f"{failed.id} failed: {reason}" in capsys.readouterr().out
    before = files_of(directory / done.folder)
    output = directory / failed.folder / "output.log"  # where this launcher's jobs print
    output.unlink()
    assert command.main(["retry", str(directory)]) == 1
    again, _ = jobs_of(directory)
    assert "Pendulum-v1: 160 transitions" in output.read_text()
    assert again.status is JobStatus.failed and again.ended != "" and files_of(directory / done.folder) == before
    write(directory, replace(failed, status=JobStatus.done))
    assert command.main(["retry", str(directory)]) == 0
    assert "no job has failed" in capsys.readouterr().out


def test_an_error_that_nobody_foresaw_is_kept_with_its_trace(launch: Launch, monkeypatch: Any) -> None:
    from rql.runs import run

    def broken(*_: Any) -> None:
        raise ZeroDivisionError("by nought")

    monkeypatch.setattr(run, "run", broken)
    directory = launch("seed=0,1", code=1)
    jobs = jobs_of(directory)
    assert [job.error for job in jobs] == ["ZeroDivisionError: by nought"] * 2
    assert "raise ZeroDivisionError" in (directory / jobs[0].folder / "error.txt").read_text()


def test_what_does_worse_than_the_others_is_pruned(launch: Launch) -> None:
    lengths = ["offline.updates=0", "evaluation.boundary_episodes=1"]
    short = [*TINY, *lengths, "jobs.report=false", "jobs.prune=true", "jobs.prune_after=2"]
    directory = launch("seed=0,1", short=short)
    for job in jobs_of(directory):
        lines = [json.loads(line) for line in (directory / job.folder / "metrics.jsonl").read_text().splitlines()]
        better = [line | ({"return": 1e6} if line["stage"] == "online" and "return" in line else {}) for line in lines]
        (directory / job.folder / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in better))
    launch("seed=0,1,2", short=short)
    launch("seed=0,1,2", short=short)
    *_, pruned = jobs_of(directory)
    assert pruned.status is JobStatus.pruned and attempts_of(directory)[pruned.id] == 1
    last = (directory / pruned.folder / "metrics.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["step"] == 12 and not (directory / pruned.folder / "summary.json").exists()


def test_a_search_that_is_started_again_finds_what_it_did(launch: Launch, capsys: Any) -> None:
    lengths = ["offline.updates=0", "online.eval_every=0", "evaluation.boundary_episodes=1"]
    tiny = [*TINY, *lengths, "jobs.prune=false", "jobs.report=false"]
    search = ["sweep=optuna", "hydra.sweeper.n_jobs=1", "jobs.seeds=[3,4]"]
    directory = launch(*search, "hydra.sweeper.n_trials=1", short=tiny)
    pruned = jobs_of(directory)[0]
    write(directory, replace(pruned, status=JobStatus.pruned))
    summary = directory / pruned.folder / "summary.json"
    value = json.loads(summary.read_text())["online/return"]
    summary.unlink()
    before = files_of(directory)
    launch(*search, "hydra.sweeper.n_trials=2", short=tiny)
    after = files_of(directory)
    assert {path: after[path] for path in before} == before
    assert len(attempts_of(directory)) == 4 and "4 jobs: 3 done, 1 pruned" in capsys.readouterr().out
    best = yaml.safe_load((directory / "optimization_results.yaml").read_text())
    trials: dict[float, list[float]] = {pruned.config["beta"]["end"]: [value]}
    for path in directory.glob("*/summary.json"):
        beta = yaml.safe_load((path.parent / "config.yaml").read_text())["beta"]["end"]
        trials.setdefault(beta, []).append(json.loads(path.read_text())["online/return"])
    assert sorted(map(len, trials.values())) == [2, 2] and {job.config["seed"] for job in jobs_of(directory)} == {3, 4}
    assert best["best_value"] == pytest.approx(max(sum(values) / 2 for values in trials.values()))
    assert set(best["best_params"]) == {"beta.end", "cql.alpha", "q.learning_rate", "bc.learning_rate", "q.tau"}
    failed = next(job for job in jobs_of(directory) if job.status is JobStatus.done)
    write(directory, replace(failed, status=JobStatus.failed))
    assert command.main(["retry", str(directory)]) == 0
    assert failed.id not in [job.id for job in jobs_of(directory) if job.status is JobStatus.failed]


def test_the_table_of_a_sweep_has_the_stages_that_its_jobs_recorded(tmp_path: Path, capsys: Any) -> None:
    skills = StageInfo("pretrain", "skill discovery", "skills", "skills", StageData.offline)
    online = StageInfo("online", "skill transfer", "skills", "transferred", StageData.online)
    sweep: dict[str, Any] = {
        "base": {},
        "choices": {"beta": "kl"},
        "swept": ["agent"],
        "jobs": ["a", "b", "c"],
        "launches": [],
    }
    write_run(tmp_path / "a", 0, points=[("bc", 1, 1.5), ("offline", 1, 2.5), ("online", 1, 3.5)])
    agent = AgentTable((skills, online), {"skills": "π_skill"})
    write_run(tmp_path / "b", 0, agent=agent, points=[("pretrain", 1, 4.5), ("online", 1, 5.5)])
    (tmp_path / "sweep.json").write_text(json.dumps(sweep))
    for name, status in (("a", JobStatus.done), ("b", JobStatus.done), ("c", JobStatus.queued)):
        (tmp_path / name).mkdir(exist_ok=True)
        write(tmp_path, Job(name, name, status=status, choices={"agent": name}))
    assert command.main(["status", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines if line.strip() and not set(line) & set("─")]
    assert rows[0] == ["job", "status", "agent", "π_BC", "offline", "skills", "online", "seconds"]
    found = [row[:2] + row[3:-1] for row in rows[1:3]]
    assert found == [
        ["a", "done", "1.5", "2.5", "3.5"],
        ["b", "done", "4.5", "5.5"],
    ]
    assert rows[3] == ["c", "queued", "c"]
    assert "held fixed: beta=kl" in lines


def test_what_is_held_fixed_is_what_the_agent_reads(tmp_path: Path, capsys: Any) -> None:
    choices = {"agent": "bc", "beta": "kl", "env": "hopper"}
    sweep = {"base": {}, "choices": choices, "swept": ["seed"], "jobs": [], "launches": []}
    (tmp_path / "sweep.json").write_text(json.dumps(sweep))
    assert command.main(["status", str(tmp_path)]) == 0
    assert "held fixed: agent=bc env=hopper" in capsys.readouterr().out.splitlines()
