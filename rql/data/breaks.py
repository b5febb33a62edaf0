"""Where observations break off: what followed a step is not what the next step begins with."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
ROUNDING = 1e-5
"""Differences below this share of the largest number in a dimension are none."""
CHUNK = 2**20
"""Numbers that are compared together."""


def breaks(obs: Array, following: Array) -> NDArray[np.bool_]:
    """(T,): whether an episode ends after each step, for the observation that followed (T, …) is not the next one of
    `obs` (T, …). It does after the last step. What is not a finite number is compared with nothing.
    """
    found = np.ones(len(obs), np.bool_)
    last, steps = len(obs) - 1, max(1, CHUNK // max(1, int(np.prod(obs.shape[1:]))))
    for start in range(0, last, steps):
        stop = min(start + steps, last)
        found[start:stop] = _differ(obs[start + 1 : stop + 1], following[start:stop])
    return found


def _differ(one: Array, other: Array) -> NDArray[np.bool_]:
    one, other = (side.reshape(len(side), -1).astype(np.float64) for side in (one, other))
    with np.errstate(invalid="ignore"):
        largest = np.fmax.reduce(np.abs(one), axis=0)
        different: NDArray[np.bool_] = (np.abs(one - other) > ROUNDING * largest).any(axis=1)
    return different
