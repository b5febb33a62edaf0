"""How far a stage has come, and the metrics of the updates on the way."""

import math
from collections import defaultdict
from dataclasses import dataclass

import torch
from torch import Tensor

from rql.optim.adam import Metrics
from rql.utils.errors import DivergenceError


@dataclass(frozen=True)
class Progress:
    """How far a stage has come."""

    step: int
    """Updates, or environment steps online."""
    metrics: dict[str, float]
    """Means over the updates since the last report."""
    evaluate: bool
    """Whether an evaluation is due."""


class MetricMeans:
    """The metrics of the updates since the last report, still tensors until someone asks for their means."""

    def __init__(self, stage: str, max_q: float) -> None:
        """`stage` is for messages, `max_q` the largest mean of the metric `target` that passes for healthy."""
        self._stage, self._max_q = stage, max_q
        self._values: dict[str, list[Tensor]] = defaultdict(list)

    def add(self, metrics: Metrics) -> None:
        """Remember the metrics of one update."""
        for name, value in metrics.items():
            self._values[name].append(value)

    def saved_state(self) -> dict[str, Tensor]:
        """The values since the last report, (n,) each."""
        return {name: torch.stack(values) for name, values in self._values.items()}

    def load(self, saved: dict[str, Tensor], device: torch.device) -> None:
        """Go on from `saved_state`, with metrics on a device."""
        self._values = defaultdict(list, {name: list(values.to(device).unbind()) for name, values in saved.items()})

    def means(self, step: int) -> dict[str, float]:
        """The mean of each metric, and forget them.

        Raises:
            DivergenceError: if one is not finite, or Q is larger than `max_q`.
        """
        means = {name: float(torch.stack(values).mean()) for name, values in self._values.items()}
        self._values.clear()
        for name, value in means.items():
            if not math.isfinite(value):
                raise DivergenceError(f"{self._stage}/{name} is {value} at step {step}")
        if abs(means.get("target", 0.0)) > self._max_q:
            limit = f"the limit is watchdog.max_q={self._max_q:g}"
            raise DivergenceError(f"the mean TD target is {means['target']:.4g} at {self._stage} step {step}; {limit}")
        return means


def due(before: int, step: int, every: int, last: int) -> bool:
    """Whether a multiple of `every` lies in (before, step], or this is the last step; `every` 0 waits for the last."""
    return step >= last or (every > 0 and step // every > before // every)
