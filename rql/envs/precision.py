"""What is lost where numbers become float32, as all do that an agent sees."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGE = 2.0**20
"""Around smaller numbers, what float32 does not tell apart is rounding of whoever computed them."""
SHARE = 0.05
"""Of the standard deviation, which rounding to float32 may reach."""


def lost(values: NDArray[Any]) -> str | None:
    """What of some numbers (n, …) is lost: which lie so far from 0 that float32 does not tell apart how they vary.

    None where nothing is. What is not finite is not looked at.
    """
    wide = values.dtype.itemsize >= (8 if values.dtype.kind == "f" else 4)
    if not wide or not values.size or max(float(values.max()), -float(values.min())) < LARGE:
        return None
    exact = values.reshape(len(values), -1).astype(np.float64)
    with np.errstate(all="ignore"):
        rounding, spread = np.abs(exact - exact.astype(np.float32)).max(axis=0), exact.std(axis=0)
        bad = (np.abs(exact).max(axis=0) >= LARGE) & (spread > 0.0) & (rounding > SHARE * spread)
    if not bad.any():
        return None
    first = int(bad.argmax())
    which = f"number {first} of each lies" if exact.shape[1] > 1 else "they lie"
    near = f"{which} near {exact[:, first].mean():.6g} with a standard deviation of {spread[first]:.3g}"
    return f"{near}, which float32 does not resolve; subtract an offset"
