"""n-step transitions out of those that parallel environments just made."""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from rql.data.rows import RowLayout, Rows


class NStep:
    """Holds the last transitions of each environment back until n rewards are known, or their episode ends."""

    def __init__(self, layout: RowLayout, n: int, discount: float, num_envs: int) -> None:
        self._layout, self._n, self._discount = layout, n, discount
        self._pending: list[deque[Rows]] = [deque() for _ in range(num_envs)]

    def add(self, rows: Rows, done: NDArray[np.bool_]) -> Rows:
        """The transitions of one step, (num_envs, width), and where it ended an episode; those now whole, (m, width).

        Their rewards are Σ_{i<k} γ^i r_i over the k ≤ n steps to their next observation.
        """
        if self._n == 1:
            return rows
        whole: list[Rows] = []
        for pending, row, ended in zip(self._pending, rows, done, strict=True):
            pending.append(row)
            while pending and (ended or len(pending) == self._n):
                whole.append(self._joined(pending))
                pending.popleft()
        return np.stack(whole) if whole else rows[:0]

    def drop(self) -> None:
        """Forget what is pending, of episodes that will never end."""
        for pending in self._pending:
            pending.clear()

    def saved_state(self) -> list[list[Rows]]:
        """What is pending."""
        return [list(pending) for pending in self._pending]

    def load(self, saved: list[list[Rows]]) -> None:
        """Go on from `saved_state`."""
        self._pending = [deque(rows) for rows in saved]

    def _joined(self, pending: deque[Rows]) -> Rows:
        """The first pending transition, over all steps to the last one."""
        rows = np.stack(pending)
        of = self._layout.split(rows)
        of.reward[0] = self._discount ** np.arange(len(rows)) @ of.reward.astype(np.float64)
        of.next_obs[0], of.terminated[0], of.steps[0] = of.next_obs[-1], of.terminated[-1], len(rows)
        first: Rows = rows[0]
        return first
