"""The learning curve of one run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rql.config.agents.base import AgentTable, StageInfo, baseline_of
from rql.config.headline import HeadlineInfo
from rql.runs.folder import read_agent_table, read_headline
from rql.runs.record import read_metrics

Line = dict[str, Any]
Lines = dict[StageInfo, list[Line]]
COLORS = ("tab:blue", "tab:orange", "tab:green", "tab:red")


def draw_curve(directory: Path, title: str) -> Path:
    """Draw `curve.png` from a run's records: the headline over the steps of each stage that was evaluated, side by
    side, and where that is not the return, the return below it.

    The end of the baseline stage, where there is one, is a line through all panels instead of a panel. Bands are one
    standard deviation over the episodes of an evaluation, or the 95 % interval of a share of them.
    """
    table, headline = read_agent_table(directory), read_headline(directory)
    evaluations = [line for line in read_metrics(directory) if headline.metric in line]
    lines = {stage: [line for line in evaluations if line["stage"] == stage.name] for stage in table.stages}
    lines = {stage: of_stage for stage, of_stage in lines.items() if of_stage}
    stages, rows = _compared(lines), len(headline.shown)
    width, height = 4.5 * len(stages) + 1.0, 4.0 + 3.0 * (rows - 1)
    figure = Figure(figsize=(width, height))
    edges = {"left": 0.85 / width, "right": 0.95, "top": 1.0 - 0.4 / height, "bottom": 0.56 / height}
    figure.subplots_adjust(wspace=0.0, hspace=0.12, **edges)
    panels = figure.subplots(rows, len(stages), sharex="col", sharey="row", squeeze=False)
    for row, shown in zip(panels, headline.shown, strict=True):
        _draw_row(row, shown, lines, table)
    for axes, stage in zip(panels[-1], stages, strict=True):
        axes.set_xlabel(stage.axis)
    figure.suptitle(title, fontsize=11)
    path = directory / "curve.png"
    figure.savefig(path, dpi=150)
    return path


def _compared(lines: Lines) -> list[StageInfo]:
    """The stages that were evaluated, without the baseline."""
    baseline = baseline_of([*lines])
    return [stage for stage in lines if stage is not baseline]


def _draw_row(panels: Sequence[Axes], shown: HeadlineInfo, lines: Lines, table: AgentTable) -> None:
    """A figure of the evaluations over the steps of each stage but the baseline."""
    baseline, stages = baseline_of([*lines]), _compared(lines)
    policies = list(dict.fromkeys(stage.policy for stage in stages))
    for number, (axes, stage) in enumerate(zip(panels, stages, strict=True)):
        if baseline:
            level = shown.scale * shown.value(lines[baseline][-1])
            axes.axhline(level, color="tab:gray", linestyle="--", label=baseline.label)
        before = stages[number - 1] if number else None
        start = [{**lines[before][-1], "step": 0}] if before and before.policy == stage.policy else []
        color = COLORS[policies.index(stage.policy) % len(COLORS)]
        _draw_panel(axes, shown, start + lines[stage], color, table.symbol(stage))
        if before:
            _mark_switch(axes, stage)
        if before is None or before.policy != stage.policy:
            axes.legend(frameon=False, loc="upper left" if before is None else "lower right")
    panels[0].set_ylabel(shown.unit if shown.share else "return of an episode")
    if shown.share:
        panels[0].set_ylim(-0.04 * shown.scale, 1.04 * shown.scale)


def _draw_panel(axes: Axes, shown: HeadlineInfo, lines: list[Line], color: str, label: str) -> None:
    steps = [line["step"] for line in lines]
    mean = shown.scale * np.array([shown.value(line) for line in lines])
    low, high = shown.scale * np.array([shown.band(line) for line in lines]).T
    axes.fill_between(steps, low, high, color=color, alpha=0.2, linewidth=0)
    axes.plot(steps, mean, color=color, marker="o", markersize=3, label=label, clip_on=False)
    axes.set_xlim(0.0, max([1, *steps]))
    axes.spines[["top", "right"]].set_visible(False)


def _mark_switch(axes: Axes, stage: StageInfo) -> None:
    """Mark the left edge of a panel as the boundary to the stage before."""
    axes.axvline(0.0, color="black", linewidth=1.5)
    axes.annotate(f" switch to {stage.name}", (0.0, 0.98), xycoords="axes fraction", va="top", fontsize=9)
    axes.tick_params(left=False)
    axes.xaxis.set_major_locator(MaxNLocator(6, prune="lower"))
