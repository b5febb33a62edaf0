"""What became of the jobs of a sweep, for a person."""

import sys
from collections import Counter
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from rql.config.agents.base import StageInfo, merged_stages
from rql.runs.folder import read_agent_table
from rql.runs.record import read_summary
from rql.sweep.identity import swept_values
from rql.sweep.jobs import Job, JobStatus
from rql.sweep.plan import jobs_of, read_sweep
from rql.utils.text import written


def print_sweep(directory: Path) -> list[Job]:
    """Print the jobs of a sweep with their returns, and why those that failed did.

    Raises:
        RQLError: if there is no sweep.
    """
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    jobs, sweep = jobs_of(directory), read_sweep(directory)
    stages = merged_stages(read_agent_table(directory / job.folder) for job in jobs)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    for title in ("job", "status"):
        table.add_column(title, no_wrap=True)
    for title in sweep.swept:
        table.add_column(title, overflow="fold")
    for title in (*(stage.label for stage in stages), "seconds"):
        table.add_column(title, justify="right", overflow="fold")
    for job in jobs:
        table.add_row(*_row(directory, job, sweep.swept, stages))
    console.print(table)
    for job in jobs:
        if job.status is JobStatus.failed:
            console.print(f"{job.id} failed: {job.error}", markup=False)
    counts = Counter(job.status.value for job in jobs)
    listed = ", ".join(f"{counts[status.value]} {status.value}" for status in JobStatus if counts[status.value])
    fixed = " ".join(f"{group}={name}" for group, name in sweep.choices.items())
    console.print(f"held fixed: {fixed}", markup=False, soft_wrap=True)
    console.print(f"{len(jobs)} jobs: {listed}, in {directory}", markup=False)
    return jobs


def _row(directory: Path, job: Job, swept: list[str], stages: list[StageInfo]) -> list[str]:
    values = swept_values(swept, job.config, job.choices)
    summary = read_summary(directory / job.folder)
    ends = [summary.get(f"{stage.name}/return") for stage in stages]
    returns = ["" if value is None else f"{value:,.1f}" for value in ends]
    seconds = f"{summary['wall_seconds']:.0f}" if summary else ""
    setting = [written(values[key]) if key in values else "" for key in swept]
    return [job.id, job.status.value, *setting, *returns, seconds]
