"""The interval of a share of which only so many were seen."""

CONFIDENCE = 0.95


def wilson(successes: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share: three of three are no certainty."""
    from scipy import stats  # takes a second, and most runs have no share

    low, high = stats.binomtest(successes, count).proportion_ci(CONFIDENCE, "wilson")
    return float(low), float(high)
