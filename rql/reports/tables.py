"""The tables of a comparison, each once for page, Markdown and CSV."""

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from rql.reports import statistics
from rql.reports.comparison import Comparison, baseline, final
from rql.reports.grouping import Arm
from rql.reports.quantities import quantities
from rql.reports.runs import Run, RunStatus
from rql.reports.statistics import Estimate

Cell = Estimate | str | float | int | None
MOST_PAIRS = 66
"""Shown on the page; the CSV has all."""


@dataclass(frozen=True)
class Table:
    """Cells that are written differently on a page and in a CSV."""

    name: str
    title: str
    note: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    code: tuple[str, ...] = ()
    """Columns with commands and paths."""
    most: int | None = None
    """Rows that the page shows; the CSV has all."""


def make_tables(comparison: Comparison) -> list[Table]:
    """All of them, in the order of the page."""
    found = [final_scores(comparison)] if comparison.finished else []
    if len(comparison.tasks) > 1:
        found.append(returns_by_task(comparison))
    if comparison.finished:
        found += [along_the_stages(comparison), cost(comparison)]
    if len(comparison.compared) > 1:
        found.append(pairs(comparison))
    return [*found, troubled(comparison), all_runs(comparison)]


def final_scores(comparison: Comparison) -> Table:
    """How the runs of each arm end."""
    unit, one_task = comparison.unit, len(comparison.tasks) == 1
    header = ["arm", "runs", f"mean {unit}", f"median {unit}", f"IQM {unit}", "optimality gap of the score"]
    header += [f"P({comparison.policy} > {comparison.baseline})"] if comparison.baseline else []
    header += [f"IQM {comparison.scale.title}"] if one_task else []
    rows: list[tuple[Cell, ...]] = []
    for arm in comparison.arms:
        runs = comparison.finished_of(arm)
        cells: list[Cell] = [
            comparison.estimate(runs, final, how) for how in (statistics.mean, statistics.median, statistics.iqm)
        ]
        cells.append(comparison.estimate(runs, final, statistics.optimality_gap, scored=True))
        if comparison.baseline:
            cells.append(comparison.improvement(runs, runs, baseline))
        if one_task:
            cells.append(comparison.estimate(runs, final, statistics.iqm, scored=True))
        rows.append((arm.label, _count(comparison, arm), *cells))
    note = (
        f"The {unit} of {comparison.policy} at the end of each finished run, after its last stage. In brackets: 95 % "
        "intervals from a bootstrap stratified by task; an arm with a single run of a task has none."
    )
    return Table("final", "Final scores", note, tuple(header), tuple(rows))


def returns_by_task(comparison: Comparison) -> Table:
    """Raw returns, which cannot be averaged over tasks."""
    rows: list[tuple[Cell, ...]] = []
    for arm in comparison.compared:
        cells: list[Cell] = []
        for task in comparison.tasks:
            last = [run.at(run.stages[-1].name)[-1].value for run in comparison.finished_of(arm, task)]
            cells.append(statistics.estimate([np.array(last)], statistics.iqm) if last else None)
        rows.append((arm.label, *cells))
    note = f"Interquartile mean of the returns of {comparison.policy} at the end of the runs, in each task's own unit."
    return Table("tasks", "Final return by task", note, ("arm", *comparison.tasks), tuple(rows))


def along_the_stages(comparison: Comparison) -> Table:
    """What happened on the way."""
    columns = quantities(comparison)
    rows = [
        (
            arm.label,
            *(comparison.estimate(comparison.finished_of(arm), column.take, statistics.mean) for column in columns),
        )
        for arm in comparison.compared
    ]
    note = (
        f"Means ({comparison.unit}). The area is the mean over the steps of an online stage (trapezoidal rule, from "
        "the end of the stage before on)."
    )
    if comparison.baseline:
        note += f" The worst is the lowest evaluation in a stage; negative is below {comparison.baseline}."
    return Table("stages", "Along the stages", note, ("arm", *(column.title for column in columns)), tuple(rows))


def cost(comparison: Comparison) -> Table:
    """Wall time and throughput."""
    columns = {"wall_seconds": "wall time [s]"}
    columns |= {f"{stage.name}/updates_per_second": f"{stage.name} updates/s" for stage in comparison.stages}
    if any(stage.online for stage in comparison.stages):
        columns["env_steps_per_second"] = "environment steps/s"
    rows: list[tuple[Cell, ...]] = []
    for arm in comparison.compared:
        cells: list[Cell] = []
        for key in columns:
            found = [float(run.summary[key]) for run in comparison.finished_of(arm) if key in run.summary]
            cells.append(Estimate(sum(found) / len(found), min(found), max(found)) if found else None)
        rows.append((arm.label, *cells))
    note = "Mean over the runs; in brackets the range from the lowest to the highest. Rates count training alone."
    return Table("cost", "Wall time and throughput", note, ("arm", *columns.values()), tuple(rows))


def pairs(comparison: Comparison) -> Table:
    """Each arm against each other."""
    rows: list[tuple[Cell, ...]] = []
    for first, second in combinations(comparison.compared, 2):
        runs = comparison.finished_of(first), comparison.finished_of(second)
        rows.append((first.label, second.label, comparison.improvement(*runs, final)))
    note = "Probability that a run of X ends better than one of Y, the mean over the tasks of both; ties count ½."
    return Table("improvement", "Probability of improvement", note, ("X", "Y", "P(X > Y)"), tuple(rows), (), MOST_PAIRS)


def troubled(comparison: Comparison) -> Table:
    """What did not come to its end, and is in no statistic."""
    labels = _labels(comparison)
    rows = [
        (
            _name(comparison, run),
            run.status.value,
            run.reason,
            labels.get(run.directory, ""),
            _last(run),
            run.command,
        )
        for run in comparison.runs
        if run.status is not RunStatus.finished
    ]
    note = "None of these is in the statistics." if rows else "Every run finished."
    header = ("run", "status", "reason", "arm", "last evaluation", "command")
    return Table("unfinished", "Failed and missing runs", note, header, tuple(rows), ("run", "command"))


def all_runs(comparison: Comparison) -> Table:
    """Each run with what creates it again."""
    labels, columns = _labels(comparison), [("final", final), *((one.name, one.take) for one in quantities(comparison))]
    rows: list[tuple[Cell, ...]] = []
    for run in comparison.runs:
        found = comparison.outcomes.get(run.directory)
        values: list[Cell] = [take(found) if found else None for _, take in columns]
        seed, code = run.seed, ", ".join(dict.fromkeys(run.code_versions))
        described: list[Cell] = [labels.get(run.directory, ""), run.config.get("env.id"), seed, run.status.value]
        wall = run.summary.get("wall_seconds")
        rows.append((_name(comparison, run), *described, *values, wall, code, run.command))
    header = ("run", "arm", "task", "seed", "status", *(name for name, _ in columns), "wall_seconds", "code", "command")
    note = f"In {comparison.unit}s; the command creates the run again, with the version of the code beside it."
    return Table("runs", "All runs", note, header, tuple(rows), ("run", "command", "code"))


def _labels(comparison: Comparison) -> dict[Path, str]:
    return {run.directory: arm.label for arm in comparison.arms for run in arm.runs}


def _count(comparison: Comparison, arm: Arm) -> str:
    finished = len(comparison.finished_of(arm))
    return str(finished) if finished == len(arm.runs) else f"{finished} of {len(arm.runs)}"


def _last(run: Run) -> str:
    if not run.evaluations:
        return ""
    last = run.evaluations[-1]
    return f"{last.stage} {last.step:,}: return {short(last.value)}"


def _name(comparison: Comparison, run: Run) -> str:
    """The run's folder, seen from the directory of the report where there is but one."""
    if len(comparison.directories) == 1 and run.directory != comparison.directories[0]:
        return str(run.directory.relative_to(comparison.directories[0]))
    return str(run.directory)


def short(value: float) -> str:
    """A number with about three digits."""
    if isinstance(value, int):
        return f"{value:,}"
    size = abs(value)
    digits = 0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 1 else 3
    return (f"{value:.1e}" if 0 < size < 0.001 else f"{value:,.{digits}f}").replace("-", "−")


def text(cell: Cell) -> str:
    """A cell as a person reads it."""
    if isinstance(cell, Estimate):
        if cell.low is None or cell.high is None:
            return short(cell.value)
        return f"{short(cell.value)} [{short(cell.low)}, {short(cell.high)}]"
    if cell is None:
        return "–"
    return cell if isinstance(cell, str) else short(cell)
