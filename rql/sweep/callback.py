"""What Hydra calls before and after a sweep."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from rql.config.explain import composition_errors_as_our_own, fail
from rql.runs.folder import typed_overrides
from rql.sweep.jobs import ENDED, JobStatus
from rql.utils.errors import RQLError

NOT_ALL_DONE = 1
"""The exit code of a sweep of which a job failed, or was not run."""


class SweepCallback(Callback):
    """Finds the folder of a sweep, checks and puts down all its jobs, and at the end says what became of them."""

    begun: ClassVar[DictConfig | None] = None
    """The configuration of the sweep that this process has begun."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Before any job."""
        try:
            with composition_errors_as_our_own():
                _begin(config)
            SweepCallback.begun = config
        except (RQLError, OSError) as error:
            fail(str(error))
        except Exception:  # Hydra would print a warning, and run the jobs all the same
            traceback.print_exc()
            sys.exit(NOT_ALL_DONE)

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
    from rql.sweep.folder import jobs_of, open_sweep
    from rql.sweep.plan import plan_of

    if any(override.startswith("jobs.again=") for override in typed_overrides(config.hydra, "task")):
        return
    plan = plan_of(config)
    open_sweep(plan.directory, plan.asked, plan.jobs)
    known = [job for job in jobs_of(plan.directory) if job.id in plan.asked.jobs]
    done = sum(job.status in ENDED for job in known)
    begun = sum(job.status not in (*ENDED, JobStatus.queued) for job in known)
    what = f"{len(known)} job{'s' * (len(known) != 1)}, {done} done, {begun} begun" if known else "a search"
    over = f"sweep over {', '.join(plan.asked.swept)}: " if plan.asked.swept else ""
    print(f"{over}{what}, in {plan.directory}")


def _report(directory: Path) -> None:
    from rql.reports.report import write_report

    try:
        print(f"the report is {write_report([directory], directory / 'report')}")
    except (RQLError, OSError) as error:
        print(f"no report could be written: {error}", file=sys.stderr)
