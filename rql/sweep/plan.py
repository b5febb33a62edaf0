"""What a sweep is going to do, known and checked before it does it: `sweep.json`."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock
from hydra import compose
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from rql.config.compose import composed_choices, load
from rql.config.roles import experiment
from rql.runs.folder import JOB_FILE, values_of
from rql.runs.record import CONFIG_FILE
from rql.sweep.identity import is_swept
from rql.sweep.jobs import Job, enqueue, now, read
from rql.utils.errors import ConfigError, RQLError
from rql.utils.files import write_atomically

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
    swept: list[str]
    jobs: list[str]
    """Identities, in the order in which they were asked for."""
    launches: list[Launch]


def parse(params: dict[str, str], task: Sequence[str]) -> list[Override]:
    """The overrides of a sweep, a later one in the place of an earlier one of the same key."""
    written = [f"{key}={value}" for key, value in params.items()]
    return OverridesParser.create().parse_overrides([*written, *task])


def swept_keys(overrides: list[Override]) -> list[str]:
    """The keys and groups that are given several values."""
    last = {override.key_or_group: override.is_sweep_override() for override in overrides}
    return [key for key, several in last.items() if several]


def fixed_overrides(overrides: list[Override]) -> list[str]:
    """What all jobs have in common."""
    return [str(override.input_line) for override in overrides if not override.is_sweep_override()]


def base_of(config_name: str, overrides: list[Override]) -> dict[str, Any]:
    """The experiment without what is swept; it may lack values that only the swept keys give."""
    composed = compose(config_name, overrides=fixed_overrides(overrides))
    plain = OmegaConf.to_container(composed, enum_to_str=True)
    assert isinstance(plain, dict)
    return experiment({str(key): value for key, value in plain.items()}, composed_choices(composed))


def arms(config_name: str, overrides: list[Override]) -> list[Job]:
    """The jobs of a grid.

    Raises:
        RQLError: if one of them cannot work; it says which.
    """
    (combinations,) = BasicSweeper.split_arguments(overrides, max_batch_size=None)
    swept = swept_keys(overrides)
    found: dict[str, Job] = {}
    for combination in combinations:
        try:
            job = Job.of(load(compose(config_name, overrides=combination)), combination)
        except ConfigError as error:
            arm = " ".join(f"{key}={value}" for key, value in values_of(combination).items() if key in swept)
            raise RQLError(f"{error} (in the job {arm}; no job was started)") from error
        found.setdefault(job.id, job)
    return list(found.values())


def open_sweep(directory: Path, base: dict[str, Any], swept: list[str], jobs: list[Job], launch: Launch) -> Sweep:
    """Put down what is going to be done, beside what was asked for before.

    Raises:
        RQLError: if another sweep or a run lies in the folder, or it cannot be written.
    """
    asked = Sweep(base, swept, [job.id for job in jobs], [launch])
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
    path = directory / SWEEP_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Sweep(**content | {"launches": [Launch(**launch) for launch in content["launches"]]})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RQLError(f"{directory} holds no sweep: {path} cannot be read") from error


def jobs_of(directory: Path) -> list[Job]:
    """All jobs of the sweep in a folder: those that were asked for first, then those that a search chose.

    Raises:
        RQLError: if there is no sweep, or one of its jobs cannot be read.
    """
    order = {name: number for number, name in enumerate(read_sweep(directory).jobs)}
    found = [read(path.parent) for path in directory.glob(f"*/{JOB_FILE}")]
    return sorted(found, key=lambda job: (order.get(job.id, len(order)), job.queued or "", job.id))


def launch_of(config_name: str, task: Sequence[str], hydra: Sequence[str]) -> Launch:
    """This launch."""
    return Launch(config_name, list(task), list(hydra), now())


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
        swept=list(dict.fromkeys([*known.swept, *asked.swept])),
        jobs=list(dict.fromkeys([*known.jobs, *asked.jobs])),
        launches=[*known.launches, *asked.launches],
    )
