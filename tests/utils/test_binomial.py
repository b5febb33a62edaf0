"""The interval of a share, against the numbers of a table and against what defines it."""

import numpy as np
import pytest

from rql.utils.binomial import wilson


@pytest.mark.parametrize(
    ("successes", "count", "low", "high"),
    [(0, 10, 0.0, 0.2775), (3, 3, 0.4385, 1.0), (5, 10, 0.2366, 0.7634), (36, 50, 0.5833, 0.8253), (1, 1, 0.2065, 1.0)],
)
def test_the_numbers_are_those_of_wilson(successes: int, count: int, low: float, high: float) -> None:
    assert wilson(successes, count) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("successes", "count"), [(0, 7), (2, 9), (18, 20), (50, 50)])
def test_it_holds_every_true_share_from_which_what_was_seen_is_within_1_96_standard_deviations(
    successes: int, count: int
) -> None:
    shares = np.linspace(0.0, 1.0, 200_001)
    near = np.abs(successes / count - shares) <= 1.959964 * np.sqrt(shares * (1.0 - shares) / count)
    assert wilson(successes, count) == pytest.approx((shares[near].min(), shares[near].max()), abs=1e-5)


def test_it_holds_the_truth_in_about_95_of_100_cases() -> None:
    rng, count = np.random.default_rng(0), 50
    drawn = rng.random(4000)
    found = [wilson(int(seen), count) for seen in rng.binomial(count, drawn)]
    held = np.mean([low <= share <= high for share, (low, high) in zip(drawn, found, strict=True)])
    assert 0.94 < held < 0.96
