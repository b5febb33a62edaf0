"""What a sweep is going to do, known and checked before it does it: `sweep.json`."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from rql.config.compose import composed_choices, hydra_config, load, recorded_choices, without_hydra
from rql.config.roles import experiment
from rql.runs.folder import JOB_FILE, typed_overrides, values_of
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
    choices: dict[str, str]
    """The choice of every group that is not swept."""
    swept: list[str]
    jobs: list[str]
    """Identities, in the order in which they were asked for."""
    launches: list[Launch]


def parse(params: dict[str, str], task: Sequence[str]) -> list[Override]:
    """The overrides of a sweep, a later one in the place of an earlier one of the same key."""
    written = [f"{key}={value}" for key, value in params.items()]
    return OverridesParser.create(_loader()).parse_overrides([*written, *task])


def swept_keys(overrides: list[Override]) -> list[str]:
    """The keys and groups that are given several values."""
    last = {override.key_or_group: override.is_sweep_override() for override in overrides}
    return [key for key, several in last.items() if several]


def fixed_overrides(overrides: list[Override]) -> list[str]:
    """What all jobs have in common."""
    return [str(override.input_line) for override in overrides if not override.is_sweep_override()]


def base_of(sweep: DictConfig, overrides: list[Override]) -> tuple[dict[str, Any], dict[str, str]]:
    """The experiment without what is swept, which may lack values that only the swept keys give, and the choices."""
    composed = _loader().load_sweep_config(sweep, fixed_overrides(overrides))
    own = without_hydra(composed)
    plain = OmegaConf.to_container(own, enum_to_str=True)
    assert isinstance(plain, dict)
    swept = swept_keys(overrides)
    chosen = {group: name for group, name in recorded_choices(composed.hydra).items() if not is_swept(group, swept)}
    return experiment({str(key): value for key, value in plain.items()}, composed_choices(own)), chosen


def arms(sweep: DictConfig, overrides: list[Override]) -> list[Job]:
    """The jobs of a grid, composed as Hydra will compose them.

    Args:
        sweep: the sweep as Hydra composed it, its own part included.
        overrides: what was typed, by `parse`.

    Raises:
        RQLError: if one of them cannot work; it says which.
    """
    (combinations,) = BasicSweeper.split_arguments(overrides, max_batch_size=None)
    swept = swept_keys(overrides)
    found: dict[str, Job] = {}
    for number, combination in enumerate(combinations):
        try:
            job = _job(sweep, combination, number, swept)
        except ConfigError as error:
            arm = " ".join(f"{key}={value}" for key, value in values_of(combination).items() if key in swept)
            raise RQLError(f"{error} (in the job {arm}; no job was started)") from error
        found.setdefault(job.id, job)
    return list(found.values())


def _job(sweep: DictConfig, combination: list[str], number: int, swept: list[str]) -> Job:
    composed = _loader().load_sweep_config(sweep, combination)
    with read_write(composed), open_dict(composed):
        composed.hydra.job.id, composed.hydra.job.num = str(number), number
        composed.hydra.runtime.output_dir = str(Path(composed.hydra.sweep.dir).absolute())
    with hydra_config(composed):
        return Job.of(load(without_hydra(composed)), recorded_choices(composed.hydra), combination, swept)


def _loader() -> ConfigLoader:
    return GlobalHydra.instance().config_loader()


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


def launch_of(hydra: DictConfig) -> Launch:
    """This launch; `hydra` is Hydra's part of what was composed."""
    return Launch(str(hydra.job.config_name), typed_overrides(hydra, "task"), typed_overrides(hydra, "hydra"), now())


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
