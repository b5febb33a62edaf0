"""Decisions on several actions, which are made one after the other."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rql.config.networks import ChunkConfig

Places = NDArray[np.int64]
Numbers = NDArray[np.float32]


class Plans:
    """What is decided, and how much of it is made, at the places of a batch: one environment each."""

    def __init__(self, chunk: ChunkConfig) -> None:
        self._length, self._executed = chunk.length, chunk.executed
        self._decisions = np.zeros((0, 0), np.float32)
        """(places, h · d)."""
        self._made = np.zeros(0, np.int64)
        """(places,): actions that were made of each decision."""

    def begin(self, which: Places) -> None:
        """Forget what was decided at these places: episodes begin."""
        self._reach(which)
        self._made[which] = self._executed

    def due(self, which: Places) -> Places:
        """Of these places (n,), the indices of those at which something is to be decided before the next action."""
        self._reach(which)
        return np.flatnonzero(self._made[which] >= self._executed)

    def decide(self, which: Places, decisions: Numbers) -> None:
        """Take decisions (n, h · d) at these places."""
        if self._decisions.shape[1] != decisions.shape[1]:
            self._decisions = np.zeros((len(self._made), decisions.shape[1]), np.float32)
        self._decisions[which], self._made[which] = decisions, 0

    def next(self, which: Places) -> Numbers:
        """The next action (n, d) at each of these places."""
        of_each = self._decisions[which].reshape(len(which), self._length, -1)
        actions: Numbers = of_each[np.arange(len(which)), self._made[which]]
        self._made[which] += 1
        return actions

    def decided(self, which: Places) -> Numbers:
        """The decisions (n, h · d) that are being carried out at these places."""
        return self._decisions[which]

    def saved_state(self) -> dict[str, Any]:
        """All that decides how they are carried out."""
        return {"decisions": self._decisions.copy(), "made": self._made.copy()}

    def load(self, saved: dict[str, Any]) -> None:
        """Go on from `saved_state`."""
        self._decisions, self._made = saved["decisions"], saved["made"]

    def _reach(self, which: Places) -> None:
        """Have all these places."""
        missing = int(which.max(initial=-1)) + 1 - len(self._made)
        if missing > 0:
            self._made = np.append(self._made, np.full(missing, self._executed))
            self._decisions = np.append(self._decisions, np.zeros((missing, self._decisions.shape[1]), np.float32), 0)
