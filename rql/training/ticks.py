"""What a stage tells its audience."""

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from rql.agents.state import AgentState, Metrics
from rql.errors import RQLError

Stage = Literal["bc", "offline", "online"]


@dataclass(frozen=True)
class Tick:
    """A stage has come this far."""

    step: int
    """Updates, or environment steps online."""
    state: AgentState
    metrics: dict[str, float]
    """Means over the updates since the last tick."""
    evaluate: bool
    """Whether an evaluation is due."""


class Window:
    """The metrics of the updates since the last tick, still tensors until someone asks for their means."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._values: dict[str, list[Tensor]] = defaultdict(list)

    def add(self, metrics: Metrics) -> None:
        """Remember the metrics of one update."""
        for name, value in metrics.items():
            self._values[name].append(value)

    def means(self, step: int) -> dict[str, float]:
        """The mean of each metric, and forget them.

        Raises:
            RQLError: if one is not finite: the training has diverged.
        """
        means = {name: float(torch.stack(values).mean()) for name, values in self._values.items()}
        self._values.clear()
        for name, value in means.items():
            if not math.isfinite(value):
                raise RQLError(f"training diverged: {self._stage}/{name} is {value} at step {step}")
        return means


def due(before: int, step: int, every: int, last: int) -> bool:
    """Whether a multiple of `every` lies in (before, step], or this is the last step; `every` 0 waits for the last."""
    return step >= last or (every > 0 and step // every > before // every)
