"""Sweeps: every job runs once, however often the sweep is started, and whatever happens to it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from conftest import TINY, Launch, attempts_of

from rql.commands import sweep as command
from rql.sweep.jobs import Job, JobStatus, write
from rql.sweep.plan import jobs_of


def files_of(directory: Path) -> dict[Path, tuple[int, bytes]]:
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes())
        for path in directory.glob("*/*")
        if path.is_file() and path.suffix != ".lock"
    }


def test_a_sweep_started_again_runs_what_is_new_and_nothing_else(launch: Launch, capsys: Any) -> None:
    directory = launch("seed=0,1", "beta=constant,linear")
    configs = [yaml.safe_load(path.read_text()) for path in directory.glob("*/config.yaml")]
    assert sorted((c["seed"], "value" in c["beta"]) for c in configs) == [(0, False), (0, True), (1, False), (1, True)]
    assert all(c["tracking"]["group"] == "sweep" for c in configs)
    before = files_of(directory)
    capsys.readouterr()
    launch("seed=0,1,2", "beta=constant,linear", "jobs.report=true")
    said = capsys.readouterr().out
    page = (directory / "report" / "index.html").read_text()
    assert all(job.id in page for job in jobs_of(directory)) and "the report is" in said
    told = [json.loads(path.read_text())["swept"] for path in directory.glob("*/run.json")]
    assert {"seed": "2", "beta": "linear"} in told
    assert "sweep over seed, beta: 6 jobs, 4 done" in said and "6 jobs: 6 done" in said
    after = files_of(directory)
    assert {path: after[path] for path in before} == before
    assert attempts_of(directory) == {job.id: 1 for job in jobs_of(directory)} and len(attempts_of(directory)) == 6


def test_a_job_that_fails_does_not_stop_the_others_and_is_run_again_by_retry(launch: Launch, capsys: Any) -> None:
    directory = launch("batch_size=100000,16", code=1)
    said = capsys.readouterr().out
    failed, done = jobs_of(directory)
    assert (failed.status, done.status) == (JobStatus.failed, JobStatus.done)
    reason = "batch_size=100000 is not possible: at most 800, the transitions of data set"
    assert failed.error and reason in failed.error and f"{failed.id} failed: {reason}" in said
    assert "2 jobs: 1 done, 1 failed" in said
    assert command.main(["status", str(directory)]) == 0
    assert f"{failed.id} failed: {reason}" in capsys.readouterr().out
    before = files_of(directory / done.id)
    assert command.main(["retry", str(directory)]) == 1
    again, _ = jobs_of(directory)
    assert again.status is JobStatus.failed and again.ended != "" and files_of(directory / done.id) == before
    write(directory, Job(failed.id, failed.overrides, JobStatus.done))
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
    assert "raise ZeroDivisionError" in (directory / jobs[0].id / "error.txt").read_text()


def test_what_does_worse_than_the_others_is_pruned(launch: Launch) -> None:
    short = [*TINY, "jobs.report=false", "jobs.prune=true", "jobs.prune_after=2"]
    directory = launch("seed=0,1", short=short)
    for job in jobs_of(directory):
        lines = [json.loads(line) for line in (directory / job.id / "metrics.jsonl").read_text().splitlines()]
        better = [line | ({"return": 1e6} if line["stage"] == "online" and "return" in line else {}) for line in lines]
        (directory / job.id / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in better))
    launch("seed=0,1,2", short=short)
    launch("seed=0,1,2", short=short)
    *_, pruned = jobs_of(directory)
    assert pruned.status is JobStatus.pruned and attempts_of(directory)[pruned.id] == 1
    last = (directory / pruned.id / "metrics.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["step"] == 12 and not (directory / pruned.id / "summary.json").exists()


def test_a_search_that_is_started_again_finds_what_it_did(launch: Launch, capsys: Any) -> None:
    tiny = [*TINY, "online.env_steps=24", "online.eval_every=0", "jobs.prune=false", "jobs.report=false"]
    search = ["sweep=optuna", "hydra.sweeper.n_jobs=1"]
    directory = launch(*search, "hydra.sweeper.n_trials=2", short=tiny)
    pruned = jobs_of(directory)[0]
    write(directory, replace(pruned, status=JobStatus.pruned))
    summary = directory / pruned.id / "summary.json"
    value = json.loads(summary.read_text())["online/return"]
    summary.unlink()
    before = files_of(directory)
    launch(*search, "hydra.sweeper.n_trials=3", short=tiny)
    after = files_of(directory)
    assert {path: after[path] for path in before} == before
    assert len(attempts_of(directory)) == 3 and "3 jobs: 2 done, 1 pruned" in capsys.readouterr().out
    best = yaml.safe_load((directory / "optimization_results.yaml").read_text())
    summaries = [json.loads(path.read_text()) for path in directory.glob("*/summary.json")]
    assert best["best_value"] == max(value, *(summary["online/return"] for summary in summaries))
    assert set(best["best_params"]) == {"beta.end", "cql.alpha", "q.learning_rate", "bc.learning_rate", "q.tau"}
