"""What Hydra calls before and after a sweep."""

import sys
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from rql.config.explain import explain, fail
from rql.errors import RQLError
from rql.sweep.identity import sweep_name
from rql.sweep.jobs import ENDED, Status

GRID = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
SOME_FAILED = 1
"""The exit code of a sweep of which a job failed."""


class SweepCallback(Callback):
    """Finds the folder of a sweep, checks and puts down all its jobs, and at the end says what became of them."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Before any job."""
        try:
            _begin(config)
        except (HydraException, OmegaConfBaseException) as error:
            fail(explain(error))
        except (RQLError, OSError) as error:
            fail(str(error))

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """After all jobs."""
        from rql.sweep.table import print_sweep

        directory = Path(config.hydra.sweep.dir)
        jobs = print_sweep(directory)
        if config.jobs.report:
            _report(directory)
        if any(job.status is Status.failed for job in jobs):
            sys.exit(SOME_FAILED)


def _begin(config: DictConfig) -> None:
    from rql.sweep.plan import arms, base_of, jobs_of, launch_of, open_sweep, parse, swept_keys

    hydra = config.hydra
    name, task = str(hydra.job.config_name), list(hydra.overrides.task)
    overrides = parse(dict(hydra.sweeper.params or {}), task)
    swept, base = swept_keys(overrides), base_of(name, overrides)
    if not any(override.startswith("hydra.sweep.dir=") for override in hydra.overrides.hydra):
        choice = OmegaConf.select(config, "hydra.runtime.choices.sweep")
        _set_directory(config, Path(hydra.sweep.dir) / sweep_name(base, swept, choice))
    directory = Path(hydra.sweep.dir)
    jobs = arms(name, overrides) if hydra.sweeper._target_ == GRID else []
    open_sweep(directory, base, swept, jobs, launch_of(name, task, list(hydra.overrides.hydra)))
    asked = {job.id for job in jobs}
    known = [job for job in jobs_of(directory) if job.id in asked]
    done = sum(job.status in ENDED for job in known)
    begun = sum(job.status not in (*ENDED, Status.queued) for job in known)
    what = f"{len(known)} jobs, {done} done, {begun} begun" if known else "a search"
    print(f"sweep over {', '.join(swept) or 'nothing'}: {what}, in {directory}")


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
