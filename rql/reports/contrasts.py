"""Figures of what one choice does against another: probabilities of improvement, sensitivity, heat maps."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from rql.reports import statistics
from rql.reports.cells import short
from rql.reports.comparison import Comparison, arms_by, final
from rql.reports.figures import (
    COLORS,
    Picture,
    draw_baseline,
    legend,
    new_figure,
    tidy,
    wrapped,
)
from rql.reports.grouping import Factor, Value, label_of, sort_key
from rql.reports.runs import Run
from rql.utils.text import written

MOST_ARMS = 12
"""The most arms that a matrix of pairs shows."""
CIRCLES = 8
"""The number of circles in a row of a heat map's cell."""


def improvement_matrix(comparison: Comparison) -> Picture | None:
    """The matrix of P(row > column); None for one arm, or for more than a matrix can show."""
    arms = comparison.compared
    if not 2 <= len(arms) <= MOST_ARMS:
        return None
    values = np.full((len(arms), len(arms)), np.nan)
    for row, first in enumerate(arms):
        for column, second in enumerate(arms):
            if row != column:
                found = comparison.improvement(comparison.finished_of(first), comparison.finished_of(second))
                values[row, column] = found.value if found else np.nan
    figure = new_figure(4.6 + 0.62 * len(arms), 1.6 + 0.62 * len(arms))
    axes = figure.subplots()
    drawn = axes.imshow(values, cmap="RdBu", vmin=0.0, vmax=1.0, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        if not np.isnan(value):
            strong = "white" if abs(value - 0.5) > 0.35 else "black"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color=strong)
    axes.set_xticks(range(len(arms)), [str(number + 1) for number in range(len(arms))])
    names = [f"{wrapped(arm.label)}  ({number})" for number, arm in enumerate(arms, start=1)]
    axes.set_yticks(range(len(arms)), names)
    axes.set_xlabel("number of the arm", fontsize=9)
    axes.tick_params(labelsize=8)
    figure.colorbar(drawn, ax=axes, label="P(row > column)")
    caption = "Probability that a run of the row's arm ends better than one of the column's; ties count ½."
    return Picture("improvement", "Probability of improvement between arms", caption, figure)


def sensitivities(comparison: Comparison) -> list[Picture]:
    """Figures of the end of the runs over each number that was varied."""
    return [_sensitivity(comparison, factor) for factor in _numeric(comparison)]


def _sensitivity(comparison: Comparison, factor: Factor) -> Picture:
    others = [other.name for other in comparison.factors if other is not factor and _varied(comparison, other)]
    levels, values = _levels(comparison, factor), _values(comparison, factor)
    series = arms_by(comparison, others)
    pooled = len(series) > len(COLORS)
    if pooled:
        others, series = [], arms_by(comparison, [])
    figure = new_figure(6.8, 3.4)
    axes = figure.subplots()
    for number, (setting, runs) in enumerate(series.items()):
        shift = (number - (len(series) - 1) / 2) * min(0.16, 0.6 / len(series))
        cells = [[run for run in runs if values[run.directory] == level] for level in levels]
        _draw_series(axes, comparison, cells, shift, COLORS[number], label_of(others, setting))
    draw_baseline(axes, comparison, None)
    axes.set_xticks(range(len(levels)), [written(level) for level in levels])
    axes.set_xlim(-0.5, len(levels) - 0.5)
    axes.set_xlabel(factor.name, fontsize=9)
    axes.set_ylabel(f"final {wrapped(comparison.unit, 30)}", fontsize=9)
    tidy(axes)
    legend(figure, [axes])
    caption = "Points are runs, lines the interquartile means with 95 % intervals; values are evenly spaced." + (
        " All other settings are pooled." if pooled else ""
    )
    if factor.also:
        caption += f" Together with it changed {', '.join(factor.also)}."
    return Picture(f"sensitivity-{factor.name}", f"Sensitivity to {factor.name}", caption, figure)


def _draw_series(
    axes: Axes, comparison: Comparison, cells: Sequence[Sequence[Run]], shift: float, color: str, label: str
) -> None:
    places: list[float] = []
    middles: list[float] = []
    for position, runs in enumerate(cells):
        found = comparison.estimate(runs, final, statistics.iqm)
        if found is None:
            continue
        values = np.concatenate(comparison.samples(runs, final))
        beside = np.full(len(values), position + shift + 0.05)
        axes.scatter(beside, values, s=16, color=color, edgecolors="white", linewidth=0.4, zorder=5)
        if found.low is not None and found.high is not None:
            axes.plot([position + shift] * 2, [found.low, found.high], color=color, linewidth=1.6)
        places.append(position + shift)
        middles.append(found.value)
    axes.plot(places, middles, color=color, marker="D", markersize=5, linewidth=1.2, label=wrapped(label, 60))


def heat_maps(comparison: Comparison) -> list[Picture]:
    """Figures of the end of the runs over each pair of numbers that were varied."""
    pairs = combinations(_numeric(comparison), 2)
    return [_heat_map(comparison, x, y) for x, y in pairs if _cells(comparison, x, y)]


def _heat_map(comparison: Comparison, x: Factor, y: Factor) -> Picture:
    cells = _cells(comparison, x, y)
    columns, rows = _levels(comparison, x), _levels(comparison, y)
    middles = np.full((len(rows), len(columns)), np.nan)
    for at, found in cells.items():
        middles[at] = float(statistics.iqm(np.array(found)))
    figure = new_figure(2.6 + 1.05 * len(columns), 1.5 + 0.75 * len(rows))
    axes = figure.subplots()
    every = [value for found in cells.values() for value in found]
    colors = Normalize(min(every), max(every))
    drawn = axes.imshow(middles, cmap="viridis", norm=colors, aspect="auto", origin="lower")
    for (row, column), found in cells.items():
        ink = "black" if colors(middles[row, column]) > 0.5 else "white"
        axes.text(column, row + 0.16, short(float(middles[row, column])), ha="center", fontsize=8, color=ink)
        order = np.arange(len(found))
        places = column + (order % CIRCLES - (min(len(found), CIRCLES) - 1) / 2) * 0.8 / CIRCLES
        below = row - 0.1 - 0.16 * (order // CIRCLES)
        axes.scatter(places, below, s=22, c=found, cmap="viridis", norm=colors, edgecolors=ink, linewidths=0.7)
    axes.set_xticks(range(len(columns)), [written(level) for level in columns])
    axes.set_yticks(range(len(rows)), [written(level) for level in rows])
    axes.set_xlabel(x.name, fontsize=9)
    axes.set_ylabel(y.name, fontsize=9)
    axes.tick_params(labelsize=8)
    figure.colorbar(drawn, ax=axes, label=wrapped(f"final {comparison.unit}", 24))
    caption = "Interquartile mean of the runs of a cell, whatever else varied; circles are runs, in the same colours."
    return Picture(f"heat-{x.name}-{y.name}", f"{x.name} and {y.name}", caption, figure)


def _cells(comparison: Comparison, x: Factor, y: Factor) -> dict[tuple[int, int], list[float]]:
    """The final outcomes by row and column."""
    columns, rows = _levels(comparison, x), _levels(comparison, y)
    across, up = _values(comparison, x), _values(comparison, y)
    found: dict[tuple[int, int], list[float]] = {}
    for run in comparison.finished:
        first, second = across[run.directory], up[run.directory]
        if first is not None and second is not None:
            at = rows.index(second), columns.index(first)
            found.setdefault(at, []).append(comparison.outcomes[run.directory].final)
    return found


def _numeric(comparison: Comparison) -> list[Factor]:
    return [factor for factor in comparison.factors if factor.numeric and len(_levels(comparison, factor)) > 1]


def _varied(comparison: Comparison, factor: Factor) -> bool:
    return len({arm.setting[factor.name] for arm in comparison.compared}) > 1


def _levels(comparison: Comparison, factor: Factor) -> list[Value]:
    given = {arm.setting[factor.name] for arm in comparison.compared}
    return sorted(given - {None}, key=sort_key)


def _values(comparison: Comparison, factor: Factor) -> dict[Path, Value]:
    """The factor's value by the folder of the run."""
    return {run.directory: arm.setting[factor.name] for arm in comparison.arms for run in arm.runs}
