"""Figures of what the method did meanwhile: β, the KL from the clone, and by how much Q overestimates."""

from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator

from rql.config.agents.base import StageInfo
from rql.reports.comparison import Comparison
from rql.reports.curves import joined
from rql.reports.evaluations import TRACED
from rql.reports.figures import Picture, batches, color, draw_arm, legend, new_figure, tidy, wrapped
from rql.reports.grouping import Arm
from rql.reports.statistics import Array


def traces(comparison: Comparison) -> list[Picture]:
    """A figure for each task, and as many arms as one can show, of the metrics that some run recorded."""
    pictures: list[Picture] = []
    for number, task in enumerate(comparison.tasks, start=1):
        runs = [run for run in comparison.finished if run.task == task]
        found = {key for run in runs for key in run.traces}
        metrics = [metric for metric in TRACED if any(metric == name for _, name in found)]
        stages = [stage for stage in comparison.stages if any(stage.name == name for name, _ in found)]
        if not metrics:
            continue
        several, *names = len(comparison.tasks) > 1, *(TRACED[metric].split()[0] for metric in metrics)
        for end, arms in batches(comparison):
            name = f"traces{f'-task{number}' if several else ''}{end}"
            title = f"{', '.join(names)}{f': {task}' if several else ''}{end.replace('-', ', part ')}"
            pictures.append(_picture(comparison, task, arms, (metrics, stages), (name, title)))
    return pictures


def _picture(
    comparison: Comparison,
    task: str,
    arms: Sequence[Arm],
    shown: tuple[Sequence[str], Sequence[StageInfo]],
    named: tuple[str, str],
) -> Picture:
    """Rows are metrics, columns stages."""
    metrics, stages = shown
    figure = new_figure(4.4 * len(stages) + 0.6, 1.7 * len(metrics) + 0.5)
    panels = figure.subplots(len(metrics), len(stages), squeeze=False, sharex="col", sharey="row")
    for metric, row in zip(metrics, panels, strict=True):
        row[0].set_ylabel(wrapped(TRACED[metric], 18), fontsize=9)
        for stage, axes in zip(stages, row, strict=True):
            for arm in arms:
                seeds = _seeds(comparison, arm, task, (stage.name, metric))
                if seeds:
                    draw_arm(axes, joined([seeds], banded=False), color(comparison, arm), wrapped(arm.label, 60), 0.0)
            if metric == "overestimation":
                axes.axhline(0.0, color="0.4", linestyle="--", linewidth=1.0)
            axes.xaxis.set_major_locator(MaxNLocator(5))
            axes.xaxis.set_major_formatter("{x:,.0f}")
            tidy(axes)
    for stage, axes in zip(stages, panels[-1], strict=True):
        axes.set_xlabel(stage.axis, fontsize=9)
    legend(figure, panels.ravel().tolist())
    caption = "Interquartile means over the runs of an arm; thin lines are runs."
    if "overestimation" in metrics:
        caption += " Overestimation is Q at the start states less the discounted return from there; 0 would be right."
    return Picture(*named, caption, figure)


def _seeds(comparison: Comparison, arm: Arm, task: str, key: tuple[str, str]) -> list[tuple[Array, Array]]:
    recorded = [run.traces[key] for run in comparison.finished_of(arm, task) if key in run.traces]
    columns = [np.array(points, np.float64).T for points in recorded]
    return [(steps, values) for steps, values in columns]
