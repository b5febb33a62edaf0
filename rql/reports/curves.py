"""Learning curves: a band for each arm over the steps that all of its runs cover."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rql.reports import scores
from rql.reports.cells import Cell, Table
from rql.reports.comparison import Comparison
from rql.reports.grouping import Arm
from rql.reports.runs import Run
from rql.reports.statistics import Array, Band, bootstrap, iqm

MOST_STEPS = 200


Seed = tuple[Array, Array]
"""Steps and values of a run."""


@dataclass(frozen=True)
class Curve:
    """The learning curve of one arm in one stage."""

    steps: Array
    """Where all of its runs were evaluated or can be interpolated; shares of the stage over several tasks."""
    band: Band
    """Interquartile mean at these steps."""
    seeds: tuple[Seed, ...]
    """Steps and values of each run, as they were."""


def curve_of(comparison: Comparison, arm: Arm, stage: str, task: str | None) -> Curve | None:
    """The curve of an arm in a task, or, where that is None, over all of them; None where there is none."""
    runs = [run for run in comparison.finished_of(arm, task) if stage in [one.name for one in run.compared_stages]]
    if not runs:
        return None
    tasks = dict.fromkeys(run.task for run in runs)
    return joined([[_seed(comparison, run, stage, task is None) for run in runs if run.task == one] for one in tasks])


def joined(tasks: Sequence[Sequence[Seed]], banded: bool = True) -> Curve:
    """The curve of runs, by task.

    Between its points a run is interpolated linearly; nothing is extrapolated.
    """
    seeds = tuple(seed for of_task in tasks for seed in of_task)
    first = max(steps[0] for steps, _ in seeds)
    last = min(steps[-1] for steps, _ in seeds)
    grid = np.unique(np.concatenate([steps for steps, _ in seeds]))
    grid = grid[(grid >= first) & (grid <= last)]
    if grid.size == 0:  # runs of a single point each, at different steps
        return Curve(grid, Band(grid, None, None), seeds)
    if grid.size > MOST_STEPS:
        grid = np.linspace(first, last, MOST_STEPS)
    samples = [_interpolated(of_task, grid) for of_task in tasks]
    return Curve(grid, bootstrap(samples, iqm) if banded else Band(iqm(*samples), None, None), seeds)


Curves = dict[tuple[str, str | None, str], Curve]
"""Curves by label of the arm, task (None is all of several) and name of the stage."""


def all_curves(comparison: Comparison) -> Curves:
    """The curves of all arms, tasks and stages."""
    tasks: tuple[str | None, ...] = (None, *comparison.tasks) if len(comparison.tasks) > 1 else comparison.tasks
    found = {
        (arm.label, task, stage): curve_of(comparison, arm, stage, task)
        for arm in comparison.compared
        for task in tasks
        for stage in [stage.name for stage in comparison.compared_stages]
    }
    return {key: curve for key, curve in found.items() if curve}


def curves_table(curves: Curves) -> Table:
    """The bands of all curves, for the CSV."""
    rows: list[tuple[Cell, ...]] = []
    for (label, task, stage), found in curves.items():
        where = (label, task or "all tasks, share of the stage", stage)
        rows += [(*where, *row, len(found.seeds)) for row in _rows(found)]
    header = ("arm", "task", "stage", "step", "iqm", "low", "high", "runs")
    return Table("curves", "Learning curves", "", header, tuple(rows))


def _rows(found: Curve) -> list[tuple[Cell, ...]]:
    empty = [None] * found.steps.size
    value, low, high = (empty if part is None else part.tolist() for part in found.band)
    return list(zip(found.steps.tolist(), value, low, high, strict=True))


def _seed(comparison: Comparison, run: Run, stage: str, share: bool) -> tuple[Array, Array]:
    steps, values = scores.steps_and_values(run, stage, comparison.scale.measure)
    scale = max(1, steps[-1]) if share else 1
    return np.array(steps, np.float64) / scale, np.array(values, np.float64)


def _interpolated(seeds: Sequence[tuple[Array, Array]], grid: Array) -> Array:
    """(steps, runs)."""
    return np.stack([np.interp(grid, steps, values) for steps, values in seeds], axis=-1)
