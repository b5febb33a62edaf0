"""The folder of a sweep: `sweep.json`, which says what was asked for, and a folder for each job."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from rql.config.roles import experiment
from rql.runs.folder import JOB_FILE
from rql.runs.record import CONFIG_FILE
from rql.sweep.identity import is_swept
from rql.sweep.jobs import SWEEP_LOCK_FILE, Job, enqueue, read
from rql.utils.errors import RQLError
from rql.utils.files import read_json, write_atomically

SWEEP_FILE = "sweep.json"


@dataclass(frozen=True)
class Launch:
    """What the person typed, each time the sweep was started."""

    config_name: str
    config_dir: str | None
    task: list[str]
    hydra: list[str]
    launcher: dict[str, Any]
    """Its values, whoever chose it: it may have been a preset."""
    launcher_choice: str
    started: str


@dataclass(frozen=True)
class Sweep:
    """What lies in `sweep.json`."""

    base: dict[str, Any]
    """Keys and groups with the values that they have without what is swept."""
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
    _together(directory, asked, jobs)  # before anything is touched
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with FileLock(directory / SWEEP_LOCK_FILE):  # another launch may be here at the same time
            together = _together(directory, asked, jobs)
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


def _together(directory: Path, asked: Sweep, jobs: list[Job]) -> Sweep:
    """The sweep in the folder, if there is one, and what is asked for now, which are `jobs` unless it is a search.

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
    both = [*before, *now]
    alike = _without(known, both, jobs_of(directory)) & _without(asked, both, jobs)
    if not alike:
        values = {key: (known.base.get(key), asked.base.get(key)) for key in sorted(known.base | asked.base)}
        changed = [
            f"{key} ({one} → {another})"
            for key, (one, another) in values.items()
            if one != another and not is_swept(key, both)
        ]
        raise RQLError(f"{directory} holds a sweep with other values: {', '.join(changed)}; {other}")
    return Sweep(
        base={key: value for key, value in known.base.items() if not is_swept(key, asked.swept)},
        choices={group: name for group, name in known.choices.items() if not is_swept(group, asked.swept)},
        swept=list(dict.fromkeys([*known.swept, *asked.swept])),
        jobs=list(dict.fromkeys([*known.jobs, *asked.jobs])),
        launches=[*known.launches, *asked.launches],
    )


def _without(sweep: Sweep, swept: list[str], jobs: list[Job]) -> set[str]:
    """What the sweep, and each of its jobs, is without what is swept; a job of `budget=short,long` has values that no
    swept key names.
    """
    every = [sweep.base, *(experiment(job.config, job.schemas) for job in jobs)]
    return {
        json.dumps({key: value for key, value in one.items() if not is_swept(key, swept)}, sort_keys=True)
        for one in every
    }
