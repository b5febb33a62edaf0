"""A β schedule of your own: β(t) = end · (t / last)^power, over the environment steps after the warm-up."""

from collections.abc import Callable
from dataclasses import dataclass

import rql
from rql.config.method import BetaConfig
from rql.config.settings import at_least, positive


def power_beta(config: "PowerBetaConfig", last_step: int) -> Callable[[int], float]:
    """β as a function of the step; `last_step` is `online.env_steps` less those of the warm-up."""
    return lambda step: config.end * (step / max(1, last_step)) ** config.power


@rql.register("beta", "power", power_beta)
@dataclass
class PowerBetaConfig(BetaConfig):
    """β rises from 0 as a power of the step."""

    end: float = at_least(1.0, 0)
    """β at the last step."""
    power: float = positive(2.0)
    """1 is a straight line; more stays near the clone for longer."""
