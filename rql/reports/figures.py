"""The figures of a comparison. Every run is visible as a point or a thin line of its own in each that can show it."""

import io
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from rql.reports import statistics
from rql.reports.comparison import FEW, Comparison, Take, baseline, final, gain
from rql.reports.curves import Curve, Curves
from rql.reports.grouping import Arm

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f3c8d", "#5a5a5a")
"""Told apart by most people who see few colours (after Okabe and Ito)."""
BAND = 0.45
"""The opacity of all bands of a panel together: many of them must not hide the runs."""
MOST_MARKERS = 30
"""The most steps of a curve that are marked."""
ROW = 0.34
"""Inches that a row of a list of arms takes."""


@dataclass(frozen=True)
class Picture:
    """A figure with what it says."""

    name: str
    title: str
    caption: str
    figure: Figure

    @cached_property
    def png(self) -> bytes:
        """The figure as pixels."""
        return self._saved("png")

    @cached_property
    def pdf(self) -> bytes:
        """The figure as a drawing; the same bytes for the same figure."""
        return self._saved("pdf", metadata={"CreationDate": None})

    def _saved(self, kind: str, **options: object) -> bytes:
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format=kind, dpi=130, **options)  # type: ignore[arg-type]
        self.figure.set_layout_engine("none")  # it stays as it is now
        return buffer.getvalue()


def new_figure(width: float, height: float) -> Figure:
    """An empty figure whose parts make room for each other."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.set_facecolor("white")
    return figure


def color(comparison: Comparison, arm: Arm) -> str:
    """The color of an arm, the same in every figure."""
    return COLORS[comparison.compared.index(arm) % len(COLORS)]


def wrapped(label: str, width: int = 44) -> str:
    """A label, broken into several lines."""
    return "\n".join(textwrap.wrap(label, width, break_on_hyphens=False))


def tidy(axes: Axes) -> None:
    """Take away the part of the frame that says nothing."""
    axes.spines[["top", "right"]].set_visible(False)
    for axis in (axes.xaxis, axes.yaxis):
        if isinstance(formatter := axis.get_major_formatter(), ScalarFormatter):
            formatter.set_useOffset(False)  # "+1.3e3" in a corner is easily overlooked
    axes.tick_params(labelsize=8)


def batches(comparison: Comparison) -> list[tuple[str, list[Arm]]]:
    """Arms that one figure can show, with the end of its name and title."""
    arms, size = comparison.compared, len(COLORS)
    parts = [arms[start : start + size] for start in range(0, len(arms), size)]
    return [(f"-{number}" if len(parts) > 1 else "", part) for number, part in enumerate(parts, start=1)]


def learning_curves(comparison: Comparison, curves: Curves) -> list[Picture]:
    """Figures of return over the steps of each stage; over the shares of the stages where there are several tasks."""
    tasks = list(dict.fromkeys(task for _, task, _ in curves))
    stages = [stage for stage in comparison.compared_stages if any(name == stage.name for *_, name in curves)]
    what = f"{comparison.unit} of {comparison.policy}"
    caption = f"Interquartile mean of the {what}, with 95 % bootstrap bands; thin lines are runs"
    caption += f"; dashed is the mean of {comparison.baseline}." if comparison.baseline else "."
    if None in tasks:
        caption += " Over all tasks, the steps are shares of the stage."
    pictures: list[Picture] = []
    rows: dict[str | None, list[Axes]] = {task: [] for task in tasks}
    for end, arms in batches(comparison):
        figure = new_figure(4.4 * len(stages) + 0.6, 2.9 * len(tasks) + 0.3)
        panels = figure.subplots(len(tasks), len(stages), sharey="row", squeeze=False)
        for task, row in zip(tasks, panels, strict=True):
            for stage, axes in zip(stages, row, strict=True):
                for arm in arms:
                    found = curves.get((arm.label, task, stage.name))
                    if found:
                        draw_arm(axes, found, color(comparison, arm), wrapped(arm.label, 60), BAND / len(arms))
                draw_baseline(axes, comparison, task)
                axes.set_xlabel(f"share of the {stage.name} stage" if task is None else stage.axis, fontsize=9)
                axes.set_xlim(left=None if stage.online else 0.0)
                axes.xaxis.set_major_locator(MaxNLocator(5))
                axes.xaxis.set_major_formatter("{x:g}" if task is None else "{x:,.0f}")
                tidy(axes)
            rows[task].append(row[0])
            row[0].set_ylabel(wrapped(comparison.unit, 24), fontsize=9)
            if len(tasks) > 1:
                row[0].set_title(task or "all tasks", fontsize=10, loc="left")
        legend(figure, panels.ravel().tolist())
        pictures.append(Picture(f"curves{end}", f"Learning curves{end.replace('-', ', part ')}", caption, figure))
    for parts in rows.values():
        _same_range(parts)
    return pictures


def _same_range(parts: Sequence[Axes]) -> None:
    """One task is seen on one scale, however many figures it takes."""
    limits = [axes.get_ylim() for axes in parts]
    for axes in parts:
        axes.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))


def draw_arm(axes: Axes, found: Curve, color: str, label: str, band: float) -> None:
    """Draw the band, the mean, and the runs of an arm."""
    for steps, values in found.seeds:
        axes.plot(steps, values, color=color, linewidth=0.6, alpha=0.45, marker="." if len(steps) == 1 else "")
    if found.band.low is not None and found.band.high is not None:
        axes.fill_between(found.steps, found.band.low, found.band.high, color=color, alpha=min(0.18, band), linewidth=0)
    marker = "o" if found.steps.size <= MOST_MARKERS else ""
    axes.plot(found.steps, found.band.value, color=color, linewidth=1.8, marker=marker, markersize=2.5, label=label)


def draw_baseline(axes: Axes, comparison: Comparison, task: str | None) -> None:
    """Draw the mean baseline, if any run has one."""
    samples = comparison.samples([run for run in comparison.finished if task in (None, run.task)], baseline)
    if samples:
        mean = float(statistics.mean(*samples))
        axes.axhline(mean, color="0.4", linestyle="--", linewidth=1.0, label=comparison.baseline)


def legend(figure: Figure, panels: Sequence[Axes]) -> None:
    """Put one legend for all panels below them."""
    entries = {
        label: handle for axes in panels for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    longest = max((len(line) for label in entries for line in label.split("\n")), default=0)
    columns = max(1, min(3, int(figure.get_figwidth() / (0.6 + 0.07 * longest))))
    lines = sum(label.count("\n") + 1 for label in entries)
    figure.set_figheight(figure.get_figheight() + 0.2 * math.ceil(lines / columns))
    labels, handles = list(entries), list(entries.values())
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=8)


def final_points(comparison: Comparison) -> Picture:
    """The figure of the end of each run, by arm."""
    figure, axes = _run_by_run(comparison, comparison.compared, final)
    samples = comparison.samples(comparison.finished, baseline)
    if samples:
        axes.axvline(float(statistics.mean(*samples)), color="0.4", linestyle="--", linewidth=1.0)
    axes.set_xlabel(comparison.unit, fontsize=9)
    caption = (
        f"The {comparison.unit} of {comparison.policy} at the end of each run (points), their interquartile mean "
        "and its 95 % interval"
    )
    caption += f"; dashed is the mean of {comparison.baseline}." if comparison.baseline else "."
    return Picture("final", "Final scores, run by run", caption, figure)


def gains(comparison: Comparison) -> Picture | None:
    """The figure of the gain of each run over its own baseline, by arm; None where no arm has one."""
    arms = [arm for arm in comparison.compared if comparison.samples(comparison.finished_of(arm), gain)]
    if not arms:
        return None
    figure, axes = _run_by_run(comparison, arms, gain)
    axes.axvline(0.0, color="0.4", linestyle="--", linewidth=1.0)
    axes.set_xlabel(f"gain in {comparison.unit} over {comparison.baseline}", fontsize=9)
    caption = (
        f"By how much {comparison.policy} ends above {comparison.baseline} of the same run (points), the interquartile "
        "mean and its 95 % interval; right of the dashed line the run gained."
    )
    return Picture("gain", f"Gain over each run's own {comparison.baseline}", caption, figure)


def _run_by_run(comparison: Comparison, arms: Sequence[Arm], take: Take) -> tuple[Figure, Axes]:
    """What `take` finds in each run, by arm, with the interquartile mean."""
    figure = new_figure(8.4, 1.0 + ROW * max(2, len(arms)) * _lines(arms))
    axes = figure.subplots()
    for row, arm in enumerate(arms):
        runs = comparison.finished_of(arm)
        values = np.concatenate(comparison.samples(runs, take))
        spread = np.linspace(-0.22, 0.22, len(values)) if len(values) > 1 else np.zeros(1)
        axes.scatter(
            values, row + spread, s=16, color=color(comparison, arm), edgecolors="white", linewidth=0.4, zorder=5
        )
        found = comparison.estimate(runs, take, statistics.iqm)
        assert found is not None
        draw_interval(axes, found, row)
    list_arms(axes, arms)
    return figure, axes


def draw_interval(axes: Axes, found: statistics.Estimate, row: float) -> None:
    """Draw an estimate with its interval, from left to right."""
    if found.low is not None and found.high is not None:
        axes.plot([found.low, found.high], [row, row], color="black", linewidth=1.4, zorder=3)
    axes.plot([found.value], [row], color="black", marker="D", markersize=4.5, zorder=4)


def list_arms(axes: Axes, arms: Sequence[Arm]) -> None:
    """Label a vertical axis with arms, from top to bottom."""
    axes.set_yticks(range(len(arms)), [wrapped(arm.label) for arm in arms])
    axes.set_ylim(len(arms) - 0.5, -0.5)
    axes.grid(axis="x", color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    tidy(axes)


def profiles(comparison: Comparison) -> list[Picture]:
    """Figures of the share of runs above each value; none where an arm has too few runs of a task for a share."""
    if comparison.fewest <= FEW:
        return []
    every = np.concatenate(comparison.samples(comparison.finished, final))
    margin = 0.04 * (float(np.ptp(every)) or abs(float(every[0])) or 1.0)
    thresholds = np.linspace(every.min() - margin, every.max() + margin, 201)
    caption = f"Fraction of the runs whose final {comparison.unit} is above τ, with 95 % bootstrap bands."
    pictures: list[Picture] = []
    for end, arms in batches(comparison):
        figure = new_figure(6.8, 3.4)
        axes = figure.subplots()
        for arm in arms:
            band = statistics.profile(comparison.samples(comparison.finished_of(arm), final), thresholds)
            drawn = color(comparison, arm)
            if band.low is not None and band.high is not None:
                faint = min(0.15, BAND / len(arms))
                axes.fill_between(thresholds, band.low, band.high, color=drawn, alpha=faint, linewidth=0, step="mid")
            axes.step(thresholds, band.value, where="mid", color=drawn, linewidth=1.7, label=wrapped(arm.label, 60))
        axes.set_xlabel(f"τ ({comparison.unit})", fontsize=9)
        axes.set_ylabel("fraction of runs above τ", fontsize=9)
        axes.set_ylim(-0.03, 1.03)
        tidy(axes)
        legend(figure, [axes])
        title = f"Performance profiles{end.replace('-', ', part ')}"
        pictures.append(Picture(f"profiles{end}", title, caption, figure))
    return pictures


def _lines(arms: Sequence[Arm]) -> int:
    return max(wrapped(arm.label).count("\n") for arm in arms) // 2 + 1
