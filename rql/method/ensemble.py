"""From the values of an ensemble of critics, (E, ...), to one value, (...)."""

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
