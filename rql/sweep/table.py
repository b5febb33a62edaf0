"""What became of the jobs of a sweep, for a person."""

import sys
from collections import Counter
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from rql.config.agents.base import StageInfo, merged_stages
from rql.config.roles import is_read
from rql.runs.folder import read_agent_table, read_headline
from rql.runs.record import read_summary
from rql.sweep.folder import jobs_of, read_sweep
from rql.sweep.identity import swept_values
from rql.sweep.jobs import Job, JobStatus, find, read
from rql.sweep.plan import Plan
from rql.utils.text import written


def print_plan(plan: Plan) -> None:
    """Print the jobs of a sweep that has not begun, and what is known of those that are there already."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    if plan.jobs:
        console.print(_plan_table(plan))
    _print_fixed(console, plan.asked.choices)
    what = f"{len(plan.jobs)} jobs" if plan.jobs else f"a search over {', '.join(plan.asked.swept)}"
    console.print(f"{what}, in {plan.directory}", markup=False)


def _plan_table(plan: Plan) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    for title in ("job", "status", *plan.asked.swept):
        table.add_column(title, overflow="fold")
    for job in plan.jobs:
        folder = find(plan.directory, job.id)
        status = read(folder).status.value if folder else "new"
        table.add_row(job.id, status, *_setting(job, plan.asked.swept))
    return table


def print_sweep(directory: Path) -> list[Job]:
    """Print the jobs of a sweep with their headlines, and why those that failed did.

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
    _print_fixed(console, sweep.choices)
    console.print(f"{len(jobs)} jobs: {listed}, in {directory}", markup=False)
    return jobs


def _row(directory: Path, job: Job, swept: list[str], stages: list[StageInfo]) -> list[str]:
    summary, headline = read_summary(directory / job.folder), read_headline(directory / job.folder)
    prefixes = [f"{stage.name}/" for stage in stages]
    ends = [headline.said(summary, one) if f"{one}{headline.metric}" in summary else "" for one in prefixes]
    seconds = f"{summary['wall_seconds']:.0f}" if summary else ""
    return [job.id, job.status.value, *_setting(job, swept), *ends, seconds]


def _setting(job: Job, swept: list[str]) -> list[str]:
    values = swept_values(swept, job.config, job.choices)
    return [written(values[key]) if key in values else "" for key in swept]


def _print_fixed(console: Console, choices: dict[str, str]) -> None:
    fixed = " ".join(f"{group}={name}" for group, name in choices.items() if is_read(group, choices))
    console.print(f"held fixed: {fixed}", markup=False, soft_wrap=True)
