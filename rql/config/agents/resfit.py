"""Residual off-policy finetuning of a frozen clone."""

from dataclasses import dataclass
from typing import ClassVar

from rql.config.agents.base import CLONING, AgentConfig, StageData, StageInfo
from rql.config.registry import register
from rql.config.settings import at_least, between, positive


@register("agent", "resfit", implementation="rql.agents.resfit:ResFiT")
@dataclass
class ResFiTConfig(AgentConfig):
    """ResFiT (Ankile et al. 2025): a clone that stays as it is, and a bounded correction of its action that TD3 learns;
    for continuous actions.
    """

    stages: ClassVar[tuple[StageInfo, ...]] = (
        CLONING,
        StageInfo("online", "finetuning online", "policy", "finetuned", StageData.online),
    )
    policies: ClassVar[dict[str, str]] = {"bc": "π_BC", "policy": "π"}
    reads: ClassVar[frozenset[str]] = frozenset({"bc", "policy"})

    scale: float = between(0.1, 0, 2)
    """The largest correction of an action dimension, whose range is [−1, 1]."""
    noise: float = at_least(0.05, 0)
    """Standard deviation of the noise on actions that are sampled, and on those of targets."""
    noise_clip: float = at_least(0.3, 0)
    """The largest size of the noise on actions of targets."""
    critic_steps: int = at_least(0, 0)
    """Environment steps after the warm-up in which Q alone learns."""
    actor_learning_rate: float = positive(1e-4)
    """Of the correction; Q learns at `q.learning_rate`."""
