"""The learning curve of one run."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rql.config.agents.base import StageInfo, baseline_of
from rql.runs.folder import read_agent_table
from rql.runs.record import read_metrics

Line = dict[str, Any]
COLORS = ("tab:blue", "tab:orange", "tab:green", "tab:red")


def draw_curve(directory: Path, title: str) -> Path:
    """Draw `curve.png` from a run's records: return over the steps of each stage that was evaluated, side by side.

    The end of the baseline stage, where there is one, is a line through all panels instead of a panel. Bands are one
    standard deviation over the episodes of an evaluation.
    """
    table, evaluations = read_agent_table(directory), [line for line in read_metrics(directory) if "return" in line]
    lines = {stage: [line for line in evaluations if line["stage"] == stage.name] for stage in table.stages}
    evaluated = [stage for stage in table.stages if lines[stage]]
    baseline = baseline_of(evaluated)
    stages = [stage for stage in evaluated if stage is not baseline]
    policies = list(dict.fromkeys(stage.policy for stage in stages))
    figure = Figure(figsize=(4.5 * len(stages) + 1.0, 4.0))
    figure.subplots_adjust(wspace=0.0, left=0.85 / figure.get_figwidth(), right=0.95, top=0.9, bottom=0.14)
    panels = figure.subplots(1, len(stages), sharey=True, squeeze=False)[0]
    for number, (axes, stage) in enumerate(zip(panels, stages, strict=True)):
        if baseline:
            axes.axhline(lines[baseline][-1]["return"], color="tab:gray", linestyle="--", label=baseline.label)
        before = stages[number - 1] if number else None
        start = [{**lines[before][-1], "step": 0}] if before and before.policy == stage.policy else []
        color = COLORS[policies.index(stage.policy) % len(COLORS)]
        _draw_panel(axes, start + lines[stage], color, table.symbol(stage), stage.axis)
        if before:
            _mark_switch(axes, stage)
        if before is None or before.policy != stage.policy:
            axes.legend(frameon=False, loc="upper left" if before is None else "lower right")
    panels[0].set_ylabel("return of an episode")
    figure.suptitle(title, fontsize=11)
    path = directory / "curve.png"
    figure.savefig(path, dpi=150)
    return path


def _draw_panel(axes: Axes, lines: list[Line], color: str, label: str, steps_label: str) -> None:
    steps = [line["step"] for line in lines]
    mean = np.array([line["return"] for line in lines])
    std = np.array([line["return_std"] for line in lines])
    axes.fill_between(steps, mean - std, mean + std, color=color, alpha=0.2, linewidth=0)
    axes.plot(steps, mean, color=color, marker="o", markersize=3, label=label, clip_on=False)
    axes.set_xlabel(steps_label)
    axes.set_xlim(0.0, max([1, *steps]))
    axes.spines[["top", "right"]].set_visible(False)


def _mark_switch(axes: Axes, stage: StageInfo) -> None:
    """Mark the left edge of a panel as the boundary to the stage before."""
    axes.axvline(0.0, color="black", linewidth=1.5)
    axes.annotate(f" switch to {stage.name}", (0.0, 0.98), xycoords="axes fraction", va="top", fontsize=9)
    axes.tick_params(left=False)
    axes.xaxis.set_major_locator(MaxNLocator(6, prune="lower"))
