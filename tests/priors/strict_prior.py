"""A prior with a memory, which raises when it is not reset, is reset late, or sees a batch of another order."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def actions_at(obs: NDArray[np.float32], chunk: int = 1) -> NDArray[np.float64]:
    """What it proposes at observations (B, 3) of the counting environment: chunks of actions one after the other, (B,
    chunk · 2), which tell by their numbers in which step they were proposed and which of its actions they are.
    """
    ahead = [np.stack([np.sin(obs[:, 0] + number), obs[:, 1] / 12.0], axis=1) for number in range(chunk)]
    return np.concatenate(ahead, axis=1)


class Strict:
    """For the counting environment, which observes how long its episode is and how many steps were made."""

    def __init__(self, chunk: int = 1) -> None:
        self.chunk = chunk
        self.episodes: dict[int, list[float]] = {}
        """By slot: the length of the episode, and the step that is to come; empty where it is about to begin."""
        self.asked = 0

    def reset(self, slots: NDArray[np.int64]) -> None:
        for slot in slots.tolist():
            self.episodes[slot] = []

    def sample(self, obs: NDArray[np.float32], n: int, rng: np.random.Generator, slots: NDArray[np.int64]) -> Any:
        assert len(obs) == len(slots) == len(set(slots.tolist()))
        for (length, step, _), slot in zip(obs.tolist(), slots.tolist(), strict=True):
            assert slot in self.episodes, f"slot {slot} was never begun"
            expected = self.episodes[slot] or [length, 0.0]
            assert expected == [length, step], f"slot {slot}: {[length, step]} comes where {expected} was to come"
            self.episodes[slot] = [length, step + 1.0]
        self.asked += len(obs)
        proposals = np.repeat(actions_at(obs, self.chunk)[:, None], n, axis=1)
        return proposals.reshape(len(obs), n, self.chunk, 2) if self.chunk > 1 else proposals


def make() -> Strict:
    return Strict()
