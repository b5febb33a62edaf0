"""Statistics of runs over tasks, as Agarwal et al. 2021 (rliable) define them, with stratified bootstrap intervals.

Scores come as one array for each task, with the runs along the last axis; tasks may have different numbers of runs.
Each statistic takes those arrays and `axis=-1`, as `scipy.stats.bootstrap` calls it.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import integrate, stats

from rql.utils.binomial import CONFIDENCE, wilson

RESAMPLES, SEED = 2000, 0
MOST_AT_ONCE = 20_000_000
"""Numbers that a bootstrap holds in memory."""
Array = NDArray[np.float64]
Statistic = Callable[..., Any]


class Band(NamedTuple):
    """A statistic for each row of the scores, with its interval where there is one."""

    value: Array
    low: Array | None
    high: Array | None


class Estimate(NamedTuple):
    """A statistic with its interval where there is one."""

    value: float
    low: float | None = None
    high: float | None = None


def mean(*tasks: Array, axis: int = -1) -> Any:
    """Mean over tasks of the mean over runs."""
    return np.mean([task.mean(axis=axis) for task in tasks], axis=0)


def median(*tasks: Array, axis: int = -1) -> Any:
    """Median over tasks of the mean over runs; of one task, over its runs."""
    if len(tasks) == 1:
        return np.median(tasks[0], axis=axis)
    return np.median([task.mean(axis=axis) for task in tasks], axis=0)


def iqm(*tasks: Array, axis: int = -1) -> Any:
    """Interquartile mean: the mean of all runs of all tasks but a quarter at either end, rounded down."""
    return stats.trim_mean(np.concatenate(tasks, axis=axis), 0.25, axis=axis)


def optimality_gap(*tasks: Array, axis: int = -1) -> Any:
    """1 − E[min(score, 1)]: by how much the runs miss a score of 1; what is above 1 makes good for nothing."""
    return 1.0 - mean(*(np.minimum(task, 1.0) for task in tasks), axis=axis)


def improvement(*tasks: Array, axis: int = -1) -> Any:
    """P(X > Y) + P(X = Y) / 2, the mean over tasks; the first half of `tasks` is X, the second Y."""
    half = len(tasks) // 2
    return np.mean([_above(x, y) for x, y in zip(tasks[:half], tasks[half:], strict=True)], axis=0)


def _above(x: Array, y: Array) -> Any:
    """Mann and Whitney's U over the number of pairs."""
    first, second = x[..., :, None], y[..., None, :]
    return (0.5 * (first > second) + 0.5 * (first >= second)).mean(axis=(-2, -1))


def bootstrap(tasks: Sequence[Array], statistic: Statistic, resamples: int = RESAMPLES) -> Band:
    """A statistic with its 95 % percentile interval: runs are drawn again within each task, tasks are kept.

    Where the scores have more axes than runs (evaluations of a curve), a run is drawn with all of its scores.
    No interval is given where a task has but one run.
    """
    value = np.asarray(statistic(*tasks, axis=-1))
    if min(task.shape[-1] for task in tasks) < 2:
        return Band(value, None, None)
    found = stats.bootstrap(
        tuple(tasks),
        statistic,
        n_resamples=resamples,
        batch=max(1, MOST_AT_ONCE // _size(tasks, statistic)),
        vectorized=True,
        axis=-1,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(SEED),
    )
    return Band(value, np.asarray(found.confidence_interval.low), np.asarray(found.confidence_interval.high))


def _size(tasks: Sequence[Array], statistic: Statistic) -> int:
    """Numbers that one resample takes."""
    if statistic is improvement:
        half = len(tasks) // 2
        return sum(x.size * y.size for x, y in zip(tasks[:half], tasks[half:], strict=True))
    return sum(task.size for task in tasks)


def estimate(tasks: Sequence[Array], statistic: Statistic) -> Estimate:
    """`bootstrap` of scores that have no axis but the runs."""
    value, low, high = bootstrap(tasks, statistic)
    if low is None or high is None:
        return Estimate(float(value))
    return Estimate(float(value), float(low), float(high))


def share_above_zero(values: Array) -> Estimate:
    """The share of values above 0, with Wilson's 95 % interval."""
    above = int((values > 0.0).sum())
    return Estimate(above / values.size, *wilson(above, values.size))


def profile(tasks: Sequence[Array], thresholds: Array) -> Band:
    """Performance profile: the fraction of runs with a score above each threshold, the mean over tasks."""
    return bootstrap([(task[None, :] > thresholds[:, None]).astype(np.float64) for task in tasks], mean)


def mean_over_steps(steps: Sequence[float], values: Sequence[float]) -> float:
    """The area under a curve, by the trapezoidal rule, over the steps it spans."""
    span = steps[-1] - steps[0]
    return float(integrate.trapezoid(values, steps) / span) if span else float(values[-1])
