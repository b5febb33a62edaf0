"""What Hydra calls before and after a sweep."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from rql.config.explain import explain, fail
from rql.sweep.datasets import require_datasets
from rql.sweep.identity import sweep_name
from rql.sweep.jobs import ENDED, JobStatus
from rql.utils.errors import ConfigError, RQLError

GRID = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
NOT_ALL_DONE = 1
"""The exit code of a sweep of which a job failed, or was not run."""


class SweepCallback(Callback):
    """Finds the folder of a sweep, checks and puts down all its jobs, and at the end says what became of them."""

    begun: ClassVar[DictConfig | None] = None
    """The configuration of the sweep that this process has begun."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Before any job."""
        try:
            _begin(config)
            SweepCallback.begun = config
        except (HydraException, OmegaConfBaseException) as error:
            fail(explain(error))
        except (RQLError, OSError) as error:
            fail(str(error))

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """After all jobs."""
        _end(config)


@contextmanager
def launcher_errors_in_one_sentence() -> Iterator[None]:
    """Where a launcher gives up, as for a worker that was killed, the sweep has its table and report all the same."""
    try:
        yield
    except (HydraException, OmegaConfBaseException, RQLError):
        raise
    except Exception as error:
        if SweepCallback.begun is None:
            raise
        what = (str(error).strip() or "no reason given").splitlines()[0]
        print(f"error: the launcher gave up: {type(error).__name__}: {what}", file=sys.stderr)
        print("jobs that were cut off or never began are run by the same command", file=sys.stderr)
        _end(SweepCallback.begun)


def _end(config: DictConfig) -> None:
    """The table and the report; the exit code says whether all is done, or being done by another launch."""
    from rql.sweep.table import print_sweep

    directory = Path(config.hydra.sweep.dir)
    SweepCallback.begun = None
    jobs = print_sweep(directory)
    if config.jobs.report:
        _report(directory)
    if any(job.status not in (*ENDED, JobStatus.running) for job in jobs):
        sys.exit(NOT_ALL_DONE)


def _begin(config: DictConfig) -> None:
    from rql.sweep.plan import arms, base_of, jobs_of, launch_of, open_sweep, parse, swept_keys

    hydra = config.hydra
    name, task = str(hydra.job.config_name), list(hydra.overrides.task)
    overrides = parse(dict(hydra.sweeper.params or {}), task)
    if config.resume not in ("auto", "never"):
        raise ConfigError("resume", config.resume, "auto or never in a sweep, whose jobs have folders of their own")
    if any(override.key_or_group == "jobs.again" for override in overrides):
        return
    swept, base = swept_keys(overrides), base_of(name, overrides)
    if not any(override.startswith("hydra.sweep.dir=") for override in hydra.overrides.hydra):
        choice = OmegaConf.select(config, "hydra.runtime.choices.sweep")
        _set_directory(config, Path(hydra.sweep.dir) / sweep_name(base, swept, choice))
    directory = Path(hydra.sweep.dir)
    jobs = arms(name, overrides) if hydra.sweeper._target_ == GRID else []
    open_sweep(directory, base, swept, jobs, launch_of(name, task, list(hydra.overrides.hydra)))
    asked = {job.id for job in jobs}
    known = [job for job in jobs_of(directory) if job.id in asked]
    require_datasets([job for job in known if job.status not in ENDED])
    done = sum(job.status in ENDED for job in known)
    begun = sum(job.status not in (*ENDED, JobStatus.queued) for job in known)
    what = f"{len(known)} job{'s' * (len(known) != 1)}, {done} done, {begun} begun" if known else "a search"
    print(f"sweep over {', '.join(swept)}: {what}, in {directory}" if swept else f"{what}, in {directory}")


def _report(directory: Path) -> None:
    from rql.reports.report import write_report

    try:
        print(f"the report is {write_report([directory], directory / 'report')}")
    except (RQLError, OSError) as error:
        print(f"no report could be written: {error}", file=sys.stderr)


def _set_directory(config: DictConfig, directory: Path) -> None:
    """Jobs are composed anew, from the overrides of the sweep: so the folder goes there too."""
    with read_write(config), open_dict(config):
        config.hydra.sweep.dir = str(directory)
        config.hydra.overrides.hydra.append(f"hydra.sweep.dir='{directory}'")
