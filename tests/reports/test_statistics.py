"""The statistics of reports: they equal rliable's."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from rql.reports.statistics import bootstrap, estimate, improvement, iqm, mean, median, optimality_gap, profile

FIXTURE: dict[str, Any] = json.loads((Path(__file__).parent / "rliable.json").read_text())
"""What rliable 1.2.0 says of two made-up sets of scores (runs × tasks), by the script that is in the file."""


def tasks_of(name: str) -> list[Any]:
    return list(np.array(FIXTURE[name]).T)


@pytest.mark.parametrize("name", ["x", "y"])
def test_statistics_and_their_intervals_equal_those_of_rliable(name: str) -> None:
    lows, highs = FIXTURE["intervals"][name]
    for position, statistic in enumerate((mean, median, iqm, optimality_gap)):
        found = estimate(tasks_of(name), statistic)
        assert found.value == pytest.approx(FIXTURE["estimates"][name][position], abs=1e-12)
        assert found.low == pytest.approx(lows[position], abs=0.02)
        assert found.high == pytest.approx(highs[position], abs=0.02)


def test_probability_of_improvement_equals_that_of_rliable() -> None:
    found = estimate([*tasks_of("x"), *tasks_of("y")], improvement)
    assert found.value == pytest.approx(FIXTURE["improvement"], abs=1e-12)
    assert (found.low, found.high) == pytest.approx(tuple(FIXTURE["improvement_interval"]), abs=0.02)


@pytest.mark.parametrize("name", ["x", "y"])
def test_performance_profiles_equal_those_of_rliable(name: str) -> None:
    found = profile(tasks_of(name), np.array(FIXTURE["taus"]))
    assert found.value == pytest.approx(np.array(FIXTURE["profile"][name]))
    assert found.low is not None and found.high is not None
    assert np.stack([found.low, found.high]) == pytest.approx(np.array(FIXTURE["profile_intervals"][name]), abs=0.051)


def test_the_bootstrap_equals_drawing_runs_within_each_task_one_by_one() -> None:
    rng = np.random.default_rng(1)
    tasks = [rng.normal(size=4), 3.0 + rng.normal(size=7)]
    drawn = []
    for _ in range(4000):
        again = np.concatenate([[task[rng.integers(len(task))] for _ in task] for task in tasks])
        ordered = np.sort(again)
        drawn.append(ordered[2:-2].mean())  # a quarter of 11 is 2 at either end
    found = estimate(tasks, iqm)
    assert found.value == pytest.approx(np.sort(np.concatenate(tasks))[2:-2].mean())
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])), abs=0.05)


def test_probability_of_improvement_counts_pairs_and_ties_half() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.integers(0, 4, size=6).astype(float), rng.integers(0, 4, size=5).astype(float)
    by_hand = sum((a > b) + 0.5 * (a == b) for a in x for b in y) / 30
    assert improvement(x, y) == pytest.approx(by_hand)
    assert improvement(x, y) == pytest.approx(stats.mannwhitneyu(x, y).statistic / 30)


def test_a_curve_draws_runs_and_not_points() -> None:
    run = np.array([0.0, 10.0, 20.0])
    found = bootstrap([np.stack([run, run + 1.0, run + 2.0], axis=-1)], mean)
    assert found.low is not None
    assert np.diff(found.low) == pytest.approx([10.0, 10.0])


def test_one_run_has_no_interval() -> None:
    assert estimate([np.array([3.0])], mean) == (3.0, None, None)
    assert estimate([np.array([3.0]), np.array([1.0, 2.0])], iqm).low is None
    assert median(np.array([1.0, 5.0, 6.0])) == 5.0  # over runs, where there is one task
