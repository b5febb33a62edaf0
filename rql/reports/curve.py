"""The learning curve of one run."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rql.runs.record import read_metrics

Line = dict[str, Any]
PANELS = {"offline": "offline updates", "online": "online environment steps"}


def draw_curve(directory: Path, title: str) -> Path:
    """Draw `curve.png` from the run's `metrics.jsonl`: return over offline updates, then over environment steps.

    The line of π_BC runs through both panels; the boundary between them is the switch to online. Bands are one
    standard deviation over the episodes of an evaluation.
    """
    evaluations = [line for line in read_metrics(directory) if "return" in line]
    by_stage = {stage: [line for line in evaluations if line["stage"] == stage] for stage in ("bc", *PANELS)}
    clone = by_stage["bc"][-1]
    stages = [stage for stage in PANELS if by_stage[stage]] or ["offline"]
    figure = Figure(figsize=(4.5 * len(stages) + 1.0, 4.0))
    figure.subplots_adjust(wspace=0.0, left=0.85 / figure.get_figwidth(), right=0.95, top=0.9, bottom=0.14)
    panels = figure.subplots(1, len(stages), sharey=True, squeeze=False)[0]
    for axes, stage in zip(panels, stages, strict=True):
        before = [{**by_stage["offline"][-1], "step": 0}] if stage == "online" and by_stage["offline"] else []
        _draw_panel(axes, before + by_stage[stage], clone, PANELS[stage])
    panels[0].set_ylabel("return of an episode")
    panels[0].legend(frameon=False, loc="upper left")
    if len(stages) > 1:
        panels[1].axvline(0.0, color="black", linewidth=1.5)
        panels[1].annotate(" switch to online", (0.0, 0.98), xycoords="axes fraction", va="top", fontsize=9)
        panels[1].tick_params(left=False)
        panels[1].xaxis.set_major_locator(MaxNLocator(6, prune="lower"))
    figure.suptitle(title, fontsize=11)
    path = directory / "curve.png"
    figure.savefig(path, dpi=150)
    return path


def _draw_panel(axes: Axes, lines: list[Line], clone: Line, label: str) -> None:
    steps = [line["step"] for line in lines]
    mean = np.array([line["return"] for line in lines])
    std = np.array([line["return_std"] for line in lines])
    axes.axhline(clone["return"], color="tab:gray", linestyle="--", label="π_BC")
    axes.fill_between(steps, mean - std, mean + std, color="tab:blue", alpha=0.2, linewidth=0)
    axes.plot(steps, mean, color="tab:blue", marker="o", markersize=3, label="π_final", clip_on=False)
    axes.set_xlabel(label)
    axes.set_xlim(0.0, max([1, *steps]))
    axes.spines["top"].set_visible(False)
    axes.spines["right"].set_visible(False)
