"""Sweeps: every job runs once, however often the sweep is started, and whatever happens to it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, TINY, compose_config
from sweep_kills import is_whole
from test_resume import ended, in_another_process

from rql.__main__ import main as rql_main
from rql.commands import sweep as command
from rql.config.explain import REQUEUE
from rql.runs.interruption import Interruption
from rql.sweep.callback import NOT_ALL_DONE
from rql.sweep.identity import identity, sweep_name
from rql.sweep.jobs import Job, JobStatus, read, write
from rql.sweep.plan import arms, jobs_of, parse, read_sweep
from rql.utils.errors import Preempted

SHORT = [*TINY, "jobs.report=false", "offline.updates=0", "online.env_steps=0", "evaluation.boundary_episodes=1"]
Launch = Callable[..., Path]


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    """`python run.py -m …` in this process; the exit code is compared."""

    def call(*overrides: str, code: int = 0, short: Sequence[str] = SHORT, name: str = "sweep") -> Path:
        directory = tmp_path / name
        try:
            found = rql_main(["train", "-m", f"hydra.sweep.dir={directory}", *short, *overrides])
        except SystemExit as stop:
            found = int(stop.code or 0)
        assert found == code
        return directory

    return call


def files_of(directory: Path) -> dict[Path, tuple[int, bytes]]:
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes())
        for path in directory.glob("*/*")
        if path.is_file() and path.suffix != ".lock"
    }


def attempts(directory: Path) -> dict[str, int]:
    return {path.parent.name: len(json.loads(path.read_text())["attempts"]) for path in directory.glob("*/run.json")}


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
    assert attempts(directory) == {job.id: 1 for job in jobs_of(directory)} and len(attempts(directory)) == 6


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


def test_two_launches_at_once_run_no_job_twice(tmp_path: Path) -> None:
    arguments = ["-m", f"hydra.sweep.dir={tmp_path / 'sweep'}", *SHORT]
    processes = [in_another_process(*arguments, f"seed=0,1,{seed}") for seed in (2, 3, 4)]
    assert all(ended(process, 120) in (0, NOT_ALL_DONE) for process in processes)  # jobs of others may not be over
    assert sorted(attempts(tmp_path / "sweep").values()) == [1, 1, 1, 1, 1]
    assert [job.status for job in jobs_of(tmp_path / "sweep")] == [JobStatus.done] * 5
    sweep = read_sweep(tmp_path / "sweep")
    assert len(sweep.launches) == 3 and len(sweep.jobs) == 5


def test_a_worker_that_is_killed_leaves_a_table_and_the_same_command_goes_on(tmp_path: Path) -> None:
    directory = tmp_path / "sweep"
    lengths = ["online.env_steps=100000", "evaluation.boundary_episodes=1", "seed=0,1,2"]
    joblib = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    arguments = ["-m", f"hydra.sweep.dir={directory}", *TINY, *lengths, *joblib]
    command = [sys.executable, str(ROOT / "run.py"), *arguments]
    process = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not (begun := [path for path in directory.glob("*/metrics.jsonl") if path.stat().st_size]):
        time.sleep(0.02)
    worker = json.loads((begun[0].parent / "run.json").read_text())["attempts"][0]["pid"]
    os.kill(worker, signal.SIGKILL)
    output, said = process.communicate(timeout=60)
    assert process.returncode == NOT_ALL_DONE, said
    assert "error: the launcher gave up: TerminatedWorkerError" in said and "Traceback" not in said
    assert "3 jobs: " in output and "queued" in output and "the report is" in output


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_sweep_that_was_cut_off_goes_on_where_it_was(number: signal.Signals, tmp_path: Path) -> None:
    directory = tmp_path / "sweep"
    lengths = ["bc.updates=300", "offline.updates=200", "online.env_steps=500", "online.eval_every=250"]
    arguments = [
        "-m",
        f"hydra.sweep.dir={directory}",
        *TINY,
        *lengths,
        "checkpoint.steps=20",
        "jobs.report=false",
        "seed=0,1",
    ]
    process = in_another_process(*arguments)
    while '"online"' not in "".join(path.read_text() for path in directory.glob("*/metrics.jsonl")):
        time.sleep(0.02)
    os.kill(process.pid, number)
    assert ended(process, 20) == (-number if number is signal.SIGKILL else REQUEUE)
    first, second = jobs_of(directory)
    assert (first.status, second.status) == (JobStatus.interrupted, JobStatus.queued)
    assert ended(in_another_process(*arguments), 120) == 0
    assert attempts(directory) == {first.id: 2, second.id: 1}
    assert all(is_whole(directory / job.id) and job.status is JobStatus.done for job in jobs_of(directory))


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
    assert pruned.status is JobStatus.pruned and attempts(directory)[pruned.id] == 1
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
    assert len(attempts(directory)) == 3 and "3 jobs: 2 done, 1 pruned" in capsys.readouterr().out
    best = yaml.safe_load((directory / "optimization_results.yaml").read_text())
    summaries = [json.loads(path.read_text()) for path in directory.glob("*/summary.json")]
    assert best["best_value"] == max(value, *(summary["online/return"] for summary in summaries))
    assert set(best["best_params"]) == {"beta.end", "cql.alpha", "q.learning_rate", "bc.learning_rate", "q.tau"}


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


SBATCH = """#!/usr/bin/env python3
import os, re, subprocess, sys
script = open(sys.argv[-1]).read()
open(os.environ["SLURM_SEEN"], "w").write(script)
first, last = re.search(r"--array=(\\d+)-(\\d+)", script).groups()
for task in range(int(first), int(last) + 1):
    slurm = {"SLURM_JOB_ID": f"{7 + task}", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": str(task)}
    slurm |= {"SLURM_NTASKS": "1", "SLURM_NNODES": "1", "SLURM_NODEID": "0", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
    quiet = subprocess.DEVNULL
    subprocess.Popen(["bash", sys.argv[-1]], env=os.environ | slurm, stdout=quiet, stderr=quiet)
print("Submitted batch job 7")
"""
SRUN = """#!/usr/bin/env python3
import os, sys
first = next(i for i, word in enumerate(sys.argv) if "python" in os.path.basename(word))
os.execvp(sys.argv[first], sys.argv[first:])
"""
SACCT = """#!/bin/sh
printf 'JobID|State|NodeList\\n7_0|COMPLETED|x\\n7_1|COMPLETED|x\\n'
"""


def test_slurm_gets_an_array_of_jobs_that_saves_its_state_when_preempted(
    launch: Launch, tmp_path: Path, monkeypatch: Any
) -> None:
    """The cluster's three commands are small stand-ins; what submitit writes, and the jobs, are real."""
    for name, content in (("sbatch", SBATCH), ("srun", SRUN), ("sacct", SACCT)):
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_SEEN", str(tmp_path / "seen"))
    slurm = ["hydra/launcher=submitit_slurm", "hydra.launcher.partition=gpu", "hydra.launcher.array_parallelism=1"]
    directory = launch("seed=0,1", *slurm)
    assert [job.status for job in jobs_of(directory)] == [JobStatus.done] * 2
    script = (tmp_path / "seen").read_text()
    wanted = ("array=0-1%1", "partition=gpu", "time=240", "cpus-per-task=1", "signal=USR2@120", "mem=4GB")
    for line in wanted:
        assert f"#SBATCH --{line}\n" in script, script


def test_a_signal_of_submitit_is_handed_on_when_the_state_is_saved() -> None:
    order: list[str] = []
    before = signal.signal(signal.SIGUSR2, lambda *_: order.append("requeued"))
    try:
        with pytest.raises(Preempted), Interruption() as interruption, interruption.deferred():
            os.kill(os.getpid(), signal.SIGUSR2)
            order.append("saved")
            interruption.check()
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert order == ["saved", "requeued"]


def test_a_job_whose_process_is_gone_is_interrupted(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    write(tmp_path, Job("a", status=JobStatus.running))
    assert read(tmp_path / "a").status is JobStatus.interrupted
