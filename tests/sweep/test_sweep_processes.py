"""Sweeps whose processes compete, are killed, or run in the jobs of a cluster."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import SHORT, TINY, Launch, attempts_of, ended, in_another_process
from sweep_kills import is_whole

from rql.config.explain import REQUEUE
from rql.runs.interruption import Interruption
from rql.sweep.callback import NOT_ALL_DONE
from rql.sweep.folder import jobs_of, read_sweep
from rql.sweep.jobs import Job, JobStatus, read, write
from rql.utils.errors import Preempted


def test_two_launches_at_once_run_no_job_twice(tmp_path: Path) -> None:
    arguments = ["-m", f"hydra.sweep.dir={tmp_path / 'sweep'}", *SHORT]
    processes = [in_another_process(*arguments, f"seed=0,{seed}") for seed in (1, 2)]
    assert all(ended(process, 120) in (0, NOT_ALL_DONE) for process in processes)  # jobs of others may not be over
    assert sorted(attempts_of(tmp_path / "sweep").values()) == [1, 1, 1]
    assert [job.status for job in jobs_of(tmp_path / "sweep")] == [JobStatus.done] * 3
    sweep = read_sweep(tmp_path / "sweep")
    assert len(sweep.launches) == 2 and len(sweep.jobs) == 3


def test_a_worker_that_is_killed_leaves_a_table_and_the_same_command_goes_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "sweep"
    lengths = ["online.env_steps=100000", "evaluation.boundary_episodes=1", "seed=0,1,2"]
    joblib = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    process = in_another_process("-m", f"hydra.sweep.dir={directory}", *TINY, *lengths, *joblib)
    while not (begun := [path for path in directory.glob("*/metrics.jsonl") if path.stat().st_size]):
        time.sleep(0.02)
    worker = json.loads((begun[0].parent / "run.json").read_text())["attempts"][0]["pid"]
    os.kill(worker, signal.SIGKILL)
    code = ended(process, 60)
    output, said = capfd.readouterr()
    assert code == NOT_ALL_DONE, said
    assert "error: the launcher gave up: TerminatedWorkerError" in said and "Traceback" not in said
    assert "3 jobs: " in output and "queued" in output and "the report is" in output


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_sweep_that_was_cut_off_goes_on_where_it_was(number: signal.Signals, tmp_path: Path) -> None:
    directory = tmp_path / "sweep"
    lengths = ["bc.updates=10", "offline.updates=10", "online.env_steps=80", "online.eval_every=40"]
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
    assert attempts_of(directory) == {first.id: 2, second.id: 1}
    assert all(is_whole(directory / job.folder) and job.status is JobStatus.done for job in jobs_of(directory))


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
printf 'JobID|State|NodeList\\n7_0|RUNNING|x\\n7_1|RUNNING|x\\n'
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
    directory = launch("seed=0,1", "bc.updates=0", *slurm)
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
    write(tmp_path, Job("a", "a", status=JobStatus.running))
    assert read(tmp_path / "a").status is JobStatus.interrupted
