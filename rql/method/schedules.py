"""How β, α_CQL and the share of offline data move with the environment steps after the warm-up."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from rql.config.method import ConstantBetaConfig, KLBetaConfig, PiecewiseBetaConfig, RampBetaConfig

Shape = Callable[[float, float, float], float]
"""(start, end, progress ∈ [0, 1]) → value."""
Schedule = Callable[[int], float]
"""Environment steps after the warm-up → value."""


def linear(start: float, end: float, progress: float) -> float:
    """start + (end − start) p."""
    return start + (end - start) * progress


def cosine(start: float, end: float, progress: float) -> float:
    """Half a cosine: flat at both ends, steepest in the middle."""
    return start + (end - start) * 0.5 * (1.0 - math.cos(math.pi * progress))


def exponential(start: float, end: float, progress: float) -> float:
    """start^(1−p) · end^p; both are positive."""
    return math.exp(linear(math.log(start), math.log(end), progress))


def completed(step: int, first: float, last: float) -> float:
    """The share of the way from step `first` to step `last`, in [0, 1]."""
    return min(1.0, max(0.0, (step - first) / max(1, last - first)))


def constant_beta(config: ConstantBetaConfig, last_step: int) -> Schedule:
    """β of `beta=constant`."""
    return lambda step: config.value


def linear_beta(config: RampBetaConfig, last_step: int) -> Schedule:
    """β of `beta=linear`."""
    return _ramp(linear, config, last_step)


def cosine_beta(config: RampBetaConfig, last_step: int) -> Schedule:
    """β of `beta=cosine`."""
    return _ramp(cosine, config, last_step)


def exponential_beta(config: RampBetaConfig, last_step: int) -> Schedule:
    """β of `beta=exponential`."""
    return _ramp(exponential, config, last_step)


def piecewise_beta(config: PiecewiseBetaConfig, last_step: int) -> Schedule:
    """β of `beta=piecewise`."""
    return lambda step: float(np.interp(step, config.steps, config.values))


def first_kl_beta(config: KLBetaConfig, last_step: int) -> Schedule:
    """β of `beta=kl` before `adapt_beta` moves it."""
    return lambda step: config.initial


def _ramp(shape: Shape, config: RampBetaConfig, last_step: int) -> Schedule:
    first, last = config.start_share * last_step, config.end_share * last_step
    return lambda step: shape(config.start, config.end, completed(step, first, last))


def adapt_beta(beta: Tensor, kl: Tensor, budget: Tensor, rate: Tensor, highest: Tensor) -> Tensor:
    """β ← β · exp(rate · (budget − KL)/budget), in [1e-4, highest]; the relative error counts at most ±1.

    A multiplicative dual ascent on the constraint KL(π_final ‖ π_BC) ≤ budget, as for the temperature of SAC
    (Haarnoja et al. 2018b) with the KL in the place of the entropy.
    """
    error = ((budget - kl) / budget).clamp(-1.0, 1.0)
    return torch.minimum(beta * (rate * error).exp(), highest).clamp_min(1e-4)
