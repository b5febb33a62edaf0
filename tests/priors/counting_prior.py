"""Priors that count the steps of each episode, and propose by the number."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Counting:
    """Remembers how many steps were made in each slot since it was last reset."""

    def __init__(self) -> None:
        self._steps: dict[int, int] = {}

    def reset(self, slots: NDArray[np.int64]) -> None:
        self._steps.update(dict.fromkeys(slots.tolist(), 0))

    def counted(self, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        for slot in slots.tolist():
            self._steps[slot] += 1
        return np.array([self._steps[slot] for slot in slots.tolist()])


class Drawing(Counting):
    """One action: a hundredth for each step, and less than that by chance."""

    stochastic, digest = True, "drawing"

    def sample(self, obs: NDArray[np.float32], n: int, rng: np.random.Generator, slots: NDArray[np.int64]) -> Any:
        drawn = self.counted(slots) / 100 + rng.uniform(0, 0.005, len(obs))
        return drawn[:, None, None].repeat(n, 1)


class Chunks(Counting):
    """Three actions."""

    chunk = 3

    def sample(self, obs: NDArray[np.float32], n: int, rng: np.random.Generator, slots: NDArray[np.int64]) -> Any:
        return np.sin(self.counted(slots)[:, None] + np.arange(3))[:, None, :, None].repeat(n, 1)
