"""One job of a sweep: run unless it is done, and whatever becomes of it is put down."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import nullcontext, redirect_stdout
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from rql.config.running import NAME_LENGTH
from rql.config.schema import Config
from rql.runs.folder import JOB_FILE, Command, read_agent_table, read_headline, run_label
from rql.runs.record import read_summary
from rql.sweep.folder import read_sweep
from rql.sweep.identity import swept_values
from rql.sweep.jobs import ENDED, BusyError, Job, JobStatus, enqueue, find, held, now, read, write
from rql.sweep.pruning import online_curve, pruner_of
from rql.utils.errors import ConfigError, Preempted, PrunedError, RQLError
from rql.utils.text import shortened

ERROR_FILE, OUTPUT_FILE = "error.txt", "output.log"


def run_job(config: Config, sweep: Path, command: Command, aside: bool) -> float | None:
    """Run a job in its folder below `sweep`; the headline of its last policy, or None where there is none.

    With `jobs.seeds` it is a job for each of them, and the mean of their headlines. A job that is done is not run
    again, one that another process runs is left to it, one that fails says why in `job.json` and lets the others go on.
    With `jobs.again` it is a job that is known, as it was recorded.

    Args:
        config: the configuration of the job.
        sweep: the folder of the sweep.
        command: what the person typed.
        aside: whether what the job prints goes to a file, for others print at the same time.

    Raises:
        Preempted: if a signal asks to end.
        RQLError: if `jobs.again` names no job.
    """
    if config.jobs.again:
        config, command = _again(config.jobs.again, sweep, command)
    found = [_run_once(one, sweep, given, aside) for one, given in _for_seeds(config, command)]
    values = [value for value in found if value is not None]
    return fmean(values) if len(values) == len(found) else None


def _for_seeds(config: Config, command: Command) -> Iterator[tuple[Config, Command]]:
    """The job, or the same job for each of `jobs.seeds`."""
    if not config.jobs.seeds:
        yield config, command
    for seed in config.jobs.seeds:
        others = [override for override in command.overrides if not override.startswith(("seed=", "jobs.seeds="))]
        one = replace(config, seed=seed, jobs=replace(config.jobs, seeds=[]))
        yield one, replace(command, overrides=[*others, f"seed={seed}"])


def _run_once(config: Config, sweep: Path, command: Command, aside: bool) -> float | None:
    """Run one job unless it is done; its headline."""
    job = Job.of(config, command.choices, command.overrides, read_sweep(sweep).swept)
    folder = sweep / job.folder
    try:
        known = enqueue(sweep, job)
        job, folder = replace(job, folder=known.folder, queued=known.queued), sweep / known.folder
        with held(folder):
            known = read(folder)
            if known.status in ENDED:
                return _final_value(folder)
            return _run(config, sweep, replace(job, status=known.status, started=known.started), command, aside)
    except BusyError:
        print(f"{folder} is being run by another process; it is left to that")
    except OSError as error:
        print(f"error: job {job.id} cannot be recorded in {folder}: {error}", file=sys.stderr)
    return None


def group_of(sweep: Path) -> str:
    """What W&B groups the runs of a sweep by: the name of its folder."""
    return shortened(sweep.resolve().name, NAME_LENGTH)


def _again(name: str, sweep: Path, command: Command) -> tuple[Config, Command]:
    """A job of the sweep as it was recorded."""
    folder = find(sweep, name)
    if folder is None:
        raise ConfigError("jobs.again", name, f"the identity of a job in {sweep}")
    known = read(folder)
    recorded = replace(command, overrides=known.overrides, choices=known.choices)
    return known.recorded(), recorded


def _run(config: Config, sweep: Path, job: Job, command: Command, aside: bool) -> float | None:
    folder = sweep / job.folder
    (folder / ERROR_FILE).unlink(missing_ok=True)
    job = replace(job, status=JobStatus.running, started=job.started or now(), ended=None, error=None)
    write(sweep, job)
    swept = swept_values(read_sweep(sweep).swept, job.config, job.choices)
    tracking = replace(config.tracking, group=config.tracking.group or group_of(sweep))
    tracking = replace(tracking, job_type=config.tracking.job_type or "sweep")
    command = replace(command, swept=swept)
    with (folder / OUTPUT_FILE).open("a") if aside else nullcontext(sys.stdout) as output:
        try:
            with redirect_stdout(output):
                job = _ended(replace(config, tracking=tracking), sweep, job, command)
        except Preempted:
            write(sweep, replace(job, status=JobStatus.interrupted, ended=now()))
            raise
    write(sweep, job)
    if aside:
        print(_line(sweep, job, command))
    return None if job.status is JobStatus.failed else _final_value(folder)


def _ended(config: Config, sweep: Path, job: Job, command: Command) -> Job:
    """Run a job; the job with what became of it."""
    from rql.runs.run import run  # a job that is done need not wait for torch

    try:
        run(config, sweep / job.folder, command, pruner_of(sweep, job, config.jobs))
    except PrunedError as pruned:
        headline = read_headline(sweep / job.folder)
        found = f"{headline.title} {headline.written(pruned.value)} after {pruned.step:,} environment steps"
        print(f"pruned: {found} is below the median of the other jobs")
        return replace(job, status=JobStatus.pruned, ended=now())
    except Exception as error:  # whatever it is, the other jobs go on
        return _failed(sweep, job, error)
    return replace(job, status=JobStatus.done, ended=now())


def _failed(sweep: Path, job: Job, error: Exception) -> Job:
    last = f"{error}" if isinstance(error, RQLError | OSError) else f"{type(error).__name__}: {error}"
    print(f"error: {last}", file=sys.stderr)
    if not isinstance(error, RQLError):
        (sweep / job.folder / ERROR_FILE).write_text(traceback.format_exc(), encoding="utf-8")
    return replace(job, status=JobStatus.failed, ended=now(), error=last.strip().splitlines()[-1])


def _line(sweep: Path, job: Job, command: Command) -> str:
    """The job in one line, where many print at once."""
    jobs = [read(path.parent) for path in sweep.glob(f"*/{JOB_FILE}")]
    over = sum(other.status in (*ENDED, JobStatus.failed) for other in jobs)
    setting = run_label(command.swept)
    value, headline = _final_value(sweep / job.folder), read_headline(sweep / job.folder)
    found = f", {headline.title} {headline.written(value)}" if value is not None and job.status in ENDED else ""
    return f"{job.id} {job.status.value}: {setting}{found} ({over} of {len(jobs)} jobs are over)"


def _final_value(folder: Path) -> float | None:
    """The headline at the end of a job's last stage, or, where it was pruned, that of its last evaluation online."""
    summary, metric = read_summary(folder), read_headline(folder).metric
    ends = [summary.get(f"{stage.name}/{metric}") for stage in read_agent_table(folder).stages]
    found = [float(value) for value in ends if value is not None]
    if found:
        return found[-1]
    curve = online_curve(folder)
    return curve[max(curve)] if curve else None
