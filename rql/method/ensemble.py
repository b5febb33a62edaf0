"""From the values of an ensemble of critics, (E, ...), to one value, (...)."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor


def minimum(q: Tensor) -> Tensor:
    """min_e Q_e: clipped double Q-learning (Fujimoto et al. 2018) for any E."""
    return q.amin(0)


def mean(q: Tensor) -> Tensor:
    """The mean over the ensemble."""
    return q.mean(0)


def random_minimum(q: Tensor, uniform: Tensor, size: int) -> Tensor:
    """The minimum over `size` critics drawn without replacement by `uniform` (E,) (REDQ, Chen et al. 2021)."""
    return q.index_select(0, uniform.argsort()[:size]).amin(0)


@dataclass(frozen=True)
class Ensemble:
    """How the values of E critics become one: by their minimum, their mean, or the minimum of some drawn at random."""

    size: int
    """E."""
    subset: int = 0
    """Critics that an update draws; 0 where it takes all."""
    pessimistic: bool = True
    """Whether all critics become one by their minimum, and not by their mean."""

    def for_target(self, q: Tensor, noise: Mapping[str, Tensor]) -> Tensor:
        """(E, …) → (…) where the TD target is computed; `noise` has uniform numbers (E,) under "subset", if any."""
        return random_minimum(q, noise["subset"], self.subset) if self.subset else self.for_acting(q)

    def for_acting(self, q: Tensor) -> Tensor:
        """(E, …) → (…) where actions are chosen; nothing is drawn at random."""
        return minimum(q) if self.pessimistic else mean(q)
