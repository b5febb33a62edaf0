"""The folder of a sweep: `sweep.json`, which says what was asked for, and a folder for each job."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from rql.runs.folder import JOB_FILE
from rql.runs.record import CONFIG_FILE
from rql.sweep.identity import is_swept
from rql.sweep.jobs import Job, enqueue, read
from rql.utils.errors import RQLError
from rql.utils.files import read_json, write_atomically

SWEEP_FILE, LOCK_FILE = "sweep.json", ".sweep.lock"


@dataclass(frozen=True)
class Launch:
    """What the person typed, each time the sweep was started."""

    config_name: str
    task: list[str]
    hydra: list[str]
    started: str


@dataclass(frozen=True)
class Sweep:
    """What lies in `sweep.json`."""

    base: dict[str, Any]
    """What is not swept: keys and groups, with their values."""
    choices: dict[str, str]
    """The choice of every group that is not swept."""
    swept: list[str]
    jobs: list[str]
    """Identities, in the order in which they were asked for."""
    launches: list[Launch]


def open_sweep(directory: Path, asked: Sweep, jobs: list[Job]) -> Sweep:
    """Put down what is going to be done, beside what was asked for before.

    Raises:
        RQLError: if another sweep or a run lies in the folder, or it cannot be written.
    """
    _together(directory, asked)  # before anything is touched
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with FileLock(directory / LOCK_FILE):  # another launch may be here at the same time
            together = _together(directory, asked)
            write_atomically(directory / SWEEP_FILE, f"{json.dumps(asdict(together), indent=2)}\n".encode())
            for job in jobs:
                enqueue(directory, job)
    except OSError as error:
        raise RQLError(f"the sweep cannot be recorded in {directory}: {error}") from error
    return together


def read_sweep(directory: Path) -> Sweep:
    """The sweep in a folder.

    Raises:
        RQLError: if there is none.
    """

    def build(content: Any) -> Sweep:
        return Sweep(**content | {"launches": [Launch(**launch) for launch in content["launches"]]})

    return read_json(directory / SWEEP_FILE, build, f"{directory} holds no sweep")


def jobs_of(directory: Path) -> list[Job]:
    """All jobs of the sweep in a folder: those that were asked for first, then those that a search chose.

    Raises:
        RQLError: if there is no sweep, or one of its jobs cannot be read.
    """
    order = {name: number for number, name in enumerate(read_sweep(directory).jobs)}
    found = [read(path.parent) for path in directory.glob(f"*/{JOB_FILE}")]
    return sorted(found, key=lambda job: (order.get(job.id, len(order)), job.queued or "", job.id))


def _together(directory: Path, asked: Sweep) -> Sweep:
    """The sweep in the folder, if there is one, and what is asked for now.

    It may get more values and more swept keys; what is swept in neither must be the same.
    """
    other = "hydra.sweep.dir=FOLDER names another place"
    if (directory / CONFIG_FILE).exists():
        raise RQLError(f"{directory} holds a single run; {other}")
    if not (directory / SWEEP_FILE).exists():
        return asked
    known = read_sweep(directory)
    before, now = {*known.swept, "seed"}, {*asked.swept, "seed"}
    if not (before <= now or now <= before):
        raise RQLError(
            f"{directory} holds a sweep over {', '.join(known.swept)}, and not {', '.join(asked.swept)}; {other}"
        )
    keys = [key for key in known.base | asked.base if known.base.get(key) != asked.base.get(key)]
    changed = sorted(key for key in keys if not is_swept(key, [*before, *now]))
    if changed:
        listed = ", ".join(f"{key} ({known.base.get(key)} → {asked.base.get(key)})" for key in changed)
        raise RQLError(f"{directory} holds a sweep with other values: {listed}; {other}")
    return Sweep(
        base=known.base,
        choices={group: name for group, name in known.choices.items() if not is_swept(group, asked.swept)},
        swept=list(dict.fromkeys([*known.swept, *asked.swept])),
        jobs=list(dict.fromkeys([*known.jobs, *asked.jobs])),
        launches=[*known.launches, *asked.launches],
    )
