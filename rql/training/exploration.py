"""Random numbers of the actions in the training environments that are correlated in time."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rql.agents.base import Noise

ACTION = "action"
"""The standard normal numbers of continuous actions, by the convention of `AgentPolicy.noise`."""


class CorrelatedNoise:
    """z_t = ρ z_{t−1} + √(1−ρ²) ε_t with standard normal ε, anew in each episode (an Ornstein–Uhlenbeck process).

    Each z_t is standard normal, so that each action is distributed as the policy says. But it strays the same way for
    about 1/(1−ρ) steps, and so leads further than independent noise, which averages out (Lillicrap et al. 2016;
    Eberhard et al. 2023).
    """

    def __init__(self, correlation: float) -> None:
        """`correlation` is ρ in [0, 1)."""
        self.correlation = correlation
        self.last: Tensor | None = None
        """z_{t−1} (n, d) of n environments; not a number where an episode begins, None before any step."""

    def __call__(self, noise: Noise) -> Noise:
        """The random numbers of one step of n environments, with those of continuous actions correlated.

        A policy that draws other numbers, such as the uniform actions of a warm-up, is left alone.
        """
        if not self.correlation or ACTION not in noise:
            return noise
        fresh = noise[ACTION]
        if self.last is None or self.last.shape != fresh.shape:  # a warm-up policy may have drawn more numbers
            self.last = torch.full_like(fresh, torch.nan)
        last = self.last
        going_on = self.correlation * last + (1.0 - self.correlation**2) ** 0.5 * fresh
        self.last = torch.where(last.isnan(), fresh, going_on)
        return {**noise, ACTION: self.last}

    def end(self, done: NDArray[np.bool_]) -> None:
        """Begin anew in the environments whose episode is `done` (n,)."""
        if self.last is not None:
            ended = torch.from_numpy(done).to(self.last.device)
            self.last = self.last.masked_fill(ended.unsqueeze(1), torch.nan)
