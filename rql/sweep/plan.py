"""What a sweep is going to do, composed and checked before it does it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from rql.config.compose import composed_choices, hydra_config, load, recorded_choices, without_hydra
from rql.config.roles import experiment
from rql.runs.folder import typed_overrides, values_of
from rql.sweep.checks import check_jobs, is_looked_at
from rql.sweep.folder import Launch, Sweep
from rql.sweep.identity import is_swept, sweep_name
from rql.sweep.jobs import ENDED, Job, find, now, read
from rql.utils.errors import ConfigError, RQLError

GRID = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


@dataclass(frozen=True)
class Plan:
    """A sweep that has not begun."""

    directory: Path
    asked: Sweep
    jobs: list[Job]
    """None of a search, which chooses them as it goes."""


def plan_of(sweep: DictConfig) -> Plan:
    """The plan of a sweep that Hydra composed; its folder becomes that of the plan.

    Raises:
        RQLError: if it cannot be run; a job that cannot is named.
        HydraException, OmegaConfBaseException: if a job cannot be composed.
    """
    hydra = sweep.hydra
    launch = _launch_of(hydra)
    _check(sweep)
    overrides = parse(dict(hydra.sweeper.params or {}), typed_overrides(hydra, "task"))
    _refuse_repeated(overrides)
    swept, (base, choices) = swept_keys(overrides), base_of(sweep, overrides)
    swept += ["seed"] * bool(sweep.jobs.seeds)
    if not any(override.startswith("hydra.sweep.dir=") for override in typed_overrides(hydra, "hydra")):
        choice = OmegaConf.select(sweep, "hydra.runtime.choices.sweep")
        _set_directory(sweep, Path(hydra.sweep.dir) / sweep_name(base, swept, choice))
    directory = Path(hydra.sweep.dir)
    is_grid = hydra.sweeper._target_ == GRID
    looked_at = arms(sweep, overrides if is_grid else parse({}, representative(overrides)))
    if sweep.jobs.verify:
        check_jobs([job for job in looked_at if not _is_over(directory, job)], swept)
    jobs = looked_at if is_grid else []
    return Plan(directory, Sweep(base, choices, swept, [job.id for job in jobs], [launch]), jobs)


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


def representative(overrides: list[Override]) -> list[str]:
    """The overrides of a grid in place of those of a search, whose jobs nobody knows: with each environment and data
    set that it may choose, and one value of anything else.
    """
    return [_looked_at(override) for override in overrides]


def _looked_at(override: Override) -> str:
    if not override.is_sweep_override():
        return str(override.input_line)
    value = override.value()
    if isinstance(value, IntervalSweep):  # whose ends need not be possible, for nobody will draw just them
        middle = (value.start + value.end) / 2  # type: ignore[operator]
        return f"{override.get_key_element()}={int(middle) if isinstance(value.start, int) else middle}"
    several = list(override.sweep_string_iterator())
    return f"{override.get_key_element()}={','.join(several if is_looked_at(override.key_or_group) else several[:1])}"


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
    _check_controllers(sweep, composed)
    with hydra_config(composed):
        return Job.of(load(without_hydra(composed)), recorded_choices(composed.hydra), combination, swept)


def _loader() -> ConfigLoader:
    return GlobalHydra.instance().config_loader()


def _is_over(directory: Path, job: Job) -> bool:
    folder = find(directory, job.id)
    return folder is not None and read(folder).status in ENDED


def _launch_of(hydra: DictConfig) -> Launch:
    """This launch; `hydra` is Hydra's part of what was composed."""
    own = [source.path for source in hydra.runtime.config_sources if source.provider == "command-line"]
    typed = typed_overrides(hydra, "task"), typed_overrides(hydra, "hydra")
    launcher = OmegaConf.to_container(hydra.launcher, resolve=False)
    assert isinstance(launcher, dict)
    values = {str(key): value for key, value in launcher.items() if key != "_target_"}
    choice = str(hydra.runtime.choices["hydra/launcher"])
    return Launch(str(hydra.job.config_name), own[0] if own else None, *typed, values, choice, now())


def _check(sweep: DictConfig) -> None:
    if sweep.resume not in ("auto", "never"):
        raise ConfigError("resume", sweep.resume, "auto or never in a sweep, whose jobs have folders of their own")
    if sweep.jobs.seeds and sweep.hydra.sweeper._target_ == GRID:
        raise ConfigError("jobs.seeds", sweep.jobs.seeds, "empty in a grid, which sweeps over seed=0,1,2 instead")
    subdir = OmegaConf.to_container(sweep.hydra.sweep, resolve=False)["subdir"]  # type: ignore[call-overload, index]
    if subdir != ".":
        allowed = "left alone, for jobs have folders named after their identity; hydra.sweep.dir=FOLDER is the sweep's"
        raise ConfigError("hydra.sweep.subdir", subdir, allowed)


def _refuse_repeated(overrides: list[Override]) -> None:
    """A sweep keeps the last override of a key alone, which matters where a run would merge dictionaries."""
    keys = [override.key_or_group for override in overrides]
    merged = [override.key_or_group for override in overrides if isinstance(override.value(), dict)]
    for key in dict.fromkeys(keys):
        if keys.count(key) > 1 and any(f"{key}.".startswith(f"{one}.") for one in merged):
            given = [str(override.get_value_element_as_str()) for override in overrides if override.key_or_group == key]
            raise ConfigError(key, " and ".join(given), "a single value in a sweep, which would drop all but the last")


def _check_controllers(sweep: DictConfig, job: DictConfig) -> None:
    """A job's own preset comes too late to choose how the sweep runs."""
    for group in ("hydra/launcher", "hydra/sweeper"):
        of_sweep, of_job = (one.hydra.runtime.choices[group] for one in (sweep, job))
        if of_sweep != of_job:
            allowed = (
                f"{of_sweep} in a job, for all jobs of a sweep have one; -m {group}={of_job} gives it to the sweep"
            )
            raise ConfigError(group, of_job, allowed)


def _set_directory(sweep: DictConfig, directory: Path) -> None:
    """Jobs are composed anew, from the overrides of the sweep: so the folder goes there too."""
    with read_write(sweep), open_dict(sweep):
        sweep.hydra.sweep.dir = str(directory)
        sweep.hydra.overrides.hydra.append(f"hydra.sweep.dir='{directory}'")
