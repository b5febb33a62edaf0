"""One job of a sweep: run unless it is done, and whatever becomes of it is put down."""

import sys
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

from rql.config.schema import Config
from rql.errors import Preempted, PrunedError, RQLError
from rql.sweep.identity import identity
from rql.sweep.jobs import ENDED, BusyError, Job, Status, enqueue, held, now, read, write
from rql.sweep.plan import given_by, read_sweep
from rql.sweep.pruning import pruner_of
from rql.tracking.folder import Command
from rql.tracking.record import read_summary

ERROR_FILE = "error.txt"
FINAL = ("online/return", "offline/return", "bc/return")


def run_job(config: Config, sweep: Path, command: Command) -> float | None:
    """Run a job in its folder below `sweep`; the return of its last policy, or None where there is none.

    A job that is done is not run again, one that another process runs is left to it, one that fails says why in
    `job.json` and lets the others go on.

    Raises:
        Preempted: if a signal asks to end.
    """
    job = enqueue(sweep, Job(identity(config), command.overrides))
    folder = sweep / job.id
    try:
        with held(folder):
            job = read(folder)
            if job.status in ENDED:
                return _final_return(folder)
            if config.jobs.only_failed and job.status is not Status.failed:
                return None
            return _run(config, sweep, job, command)
    except BusyError:
        print(f"{folder} is being run by another process; it is left to that")
        return None


def _run(config: Config, sweep: Path, job: Job, command: Command) -> float | None:
    from rql.experiment import run  # a job that is done need not wait for torch

    folder = sweep / job.id
    (folder / ERROR_FILE).unlink(missing_ok=True)
    job = replace(job, status=Status.running, started=job.started or now(), ended=None, error=None)
    write(sweep, job)
    group = config.tracking.group or sweep.name
    tracking = replace(config.tracking, group=group, job_type=config.tracking.job_type or "sweep")
    command = replace(command, swept=_swept(sweep, job))
    try:
        run(replace(config, tracking=tracking), folder, command, pruner_of(sweep, job, config.jobs))
    except Preempted:
        write(sweep, replace(job, status=Status.interrupted, ended=now()))
        raise
    except PrunedError as pruned:
        print(f"pruned: {pruned}")
        write(sweep, replace(job, status=Status.pruned, ended=now()))
        return pruned.value
    except Exception as error:  # whatever it is, the other jobs go on
        _fail(sweep, job, error)
        return None
    write(sweep, replace(job, status=Status.done, ended=now()))
    return _final_return(folder)


def _fail(sweep: Path, job: Job, error: Exception) -> None:
    last = f"{error}" if isinstance(error, RQLError | OSError) else f"{type(error).__name__}: {error}"
    print(f"error: {last}", file=sys.stderr)
    write(sweep, replace(job, status=Status.failed, ended=now(), error=last.strip().splitlines()[-1]))
    if not isinstance(error, RQLError):
        (sweep / job.id / ERROR_FILE).write_text(traceback.format_exc(), encoding="utf-8")


def _swept(sweep: Path, job: Job) -> dict[str, str]:
    """The swept keys, with the values that this job has."""
    given = given_by(job.overrides)
    return {key: given[key] for key in read_sweep(sweep).swept if key in given}


def _final_return(folder: Path) -> float | None:
    """The return of the policy at the end of the last stage that evaluated one."""
    summary: dict[str, Any] = read_summary(folder)
    return next((float(summary[name]) for name in FINAL if name in summary), None)
