"""The jobs of a sweep as files: `job.json` in a folder each, whose state survives whatever happens to a process."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from enum import Enum
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from rql.config.compose import choices_of, from_plain, to_plain
from rql.config.schema import Config
from rql.runs.folder import JOB_FILE, JOB_LOCK_FILE, is_locked
from rql.sweep.identity import folder_name, identity, swept_values
from rql.utils.files import read_json, write_atomically

SWEEP_LOCK_FILE = ".sweep.lock"
"""Held by who adds to the folder of a sweep."""
PATIENCE = 1.0
"""Seconds to wait for the lock of a job, which someone who asks for its state holds for a moment."""


class JobStatus(str, Enum):
    """How far a job has come."""

    queued = "queued"
    running = "running"
    interrupted = "interrupted"
    """It was running when its process was killed, or asked to end."""
    done = "done"
    pruned = "pruned"
    """Ended before its time, for it did worse than the others."""
    failed = "failed"


ENDED = (JobStatus.done, JobStatus.pruned)
"""Jobs that are not run again."""


@dataclass(frozen=True)
class Job:
    """One job of a sweep; times are UTC in ISO format."""

    id: str
    folder: str
    """The name of its folder in that of the sweep, which ends in its identity."""
    overrides: list[str] = field(default_factory=list)
    status: JobStatus = JobStatus.queued
    queued: str | None = None
    started: str | None = None
    ended: str | None = None
    error: str | None = None
    """The last line of the error, if it failed."""
    config: dict[str, Any] = field(default_factory=dict)
    """Its plain configuration."""
    choices: dict[str, str] = field(default_factory=dict)
    """The choice of every group, by the name of its YAML file."""
    schemas: dict[str, str] = field(default_factory=dict)
    """The registered choice whose keys each group has: another one than in `choices` where a file of the user's own
    gives a registered choice other values."""

    @classmethod
    def of(cls, config: Config, choices: dict[str, str], overrides: list[str], swept: Sequence[str]) -> "Job":
        """The job that `overrides` ask for, in a sweep over some keys and groups."""
        name, plain = identity(config), to_plain(config)
        folder = folder_name(swept_values(swept, plain, choices), name)
        return cls(name, folder, overrides, config=plain, choices=choices, schemas=choices_of(config))

    def recorded(self) -> Config:
        """Its configuration.

        Raises:
            ConfigError: if a value cannot work.
        """
        return from_plain(self.config, self.choices | self.schemas)


class BusyError(Exception):
    """Another process is running this job."""


def now() -> str:
    """The time in the form of `job.json`."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def enqueue(sweep: Path, job: Job) -> Job:
    """The job as it is known, made known first where it is not."""
    with FileLock(sweep / SWEEP_LOCK_FILE):  # another launch may do the same, and run it at once
        known = find(sweep, job.id)
        if known is None:
            (sweep / job.folder).mkdir(parents=True, exist_ok=True)
            write(sweep, replace(job, queued=now()))
    return read(known or sweep / job.folder)


def find(sweep: Path, job: str) -> Path | None:
    """The folder of a job by its identity, whatever was swept when it got its name; None where it has none."""
    return next((path.parent for path in sweep.glob(f"*{job}/{JOB_FILE}")), None)


def write(sweep: Path, job: Job) -> None:
    """Put down how far a job has come."""
    content = asdict(job) | {"status": job.status.value}
    write_atomically(sweep / job.folder / JOB_FILE, f"{json.dumps(content, indent=2)}\n".encode())


def read(folder: Path) -> Job:
    """How far the job in a folder has come: a job whose process is gone is interrupted.

    Raises:
        RQLError: if there is none.
    """

    def build(content: Any) -> Job:
        return Job(**content | {"status": JobStatus(content["status"])})

    job = read_json(folder / JOB_FILE, build, f"{folder} holds no job of a sweep")
    if job.status is JobStatus.running and not is_locked(folder / JOB_LOCK_FILE):
        return replace(job, status=JobStatus.interrupted)
    return job


@contextmanager
def held(folder: Path, patience: float = PATIENCE) -> Iterator[None]:
    """A time in which no other process runs the job; the lock of a process that died does not count.

    Raises:
        BusyError: if another process does.
    """
    lock = FileLock(folder / JOB_LOCK_FILE)
    try:
        lock.acquire(timeout=patience)
    except Timeout as error:
        raise BusyError from error
    try:
        yield
    finally:
        lock.release()
