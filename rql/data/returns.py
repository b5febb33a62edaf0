"""Discounted returns of the steps of a data set, up to the end of each episode."""

import numpy as np
from numpy.typing import NDArray

from rql.data.batch import RewardTransform
from rql.data.columns import REWARD, TERMINATED, TRUNCATED, Column, steps_left
from rql.data.transitions import Transitions


def discounted_returns(data: Transitions, discount: float, reward: RewardTransform) -> Column:
    """(T,) float32: Σ γ^i r_i from each transition to the end of its episode; nothing is bootstrapped there."""
    left = steps_left(data.columns[TERMINATED] | data.columns[TRUNCATED], data.lengths)
    return returns_to_go(reward(data.columns[REWARD].astype(np.float32)), left, discount)[data.rows]


def returns_to_go(reward: Column, left: NDArray[np.int64], discount: float) -> Column:
    """(R,) float32, from the last steps of all episodes to their first, where row r is `left[r]` steps from the end."""
    order = np.argsort(left, kind="stable")
    groups = np.split(order, np.cumsum(np.bincount(left))[:-1])
    to_go = np.zeros(len(reward) + 1)
    for steps, rows in enumerate(groups):
        if steps:
            to_go[rows] = reward[rows] + (discount * to_go[rows + 1] if steps > 1 else 0.0)
    return to_go[:-1].astype(np.float32)
