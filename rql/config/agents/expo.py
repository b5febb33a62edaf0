"""Finetuning a policy that keeps imitating, by edits of its actions."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from rql.config.agents.base import CLONING, AgentConfig, StageData, StageInfo
from rql.config.registry import register
from rql.config.settings import Check, WholeConfig, at_least, between, finite, positive


@register("agent", "expo", implementation="rql.agents.expo:EXPO")
@dataclass
class EXPOConfig(AgentConfig):
    """EXPO (Dong et al. 2025): of actions of a policy that imitates, and edits of them, the one that Q values most; for
    continuous actions.
    """

    stages: ClassVar[tuple[StageInfo, ...]] = (
        CLONING,
        StageInfo("online", "finetuning online", "policy", "finetuned", StageData.online),
    )
    policies: ClassVar[dict[str, str]] = {"bc": "π_BC", "policy": "π"}
    reads: ClassVar[frozenset[str]] = frozenset({"bc", "policy"})

    candidates: int = at_least(8, 1)
    """N, actions of the base policy, of which each is edited too."""
    scale: float = between(0.1, 0, 2)
    """The largest edit of an action dimension, whose range is [−1, 1]."""
    actor_learning_rate: float = positive(3e-4)
    """Of the edits; Q learns at `q.learning_rate`, and the base policy at `bc.learning_rate`."""
    temperature_learning_rate: float = positive(3e-4)
    """Of log α, the logarithm of the temperature."""
    initial_temperature: float = positive(1.0)
    """α at first."""
    target_entropy: float = finite(-0.5)
    """The entropy that α holds edits at, in nats for each dimension of an action, as shares of `scale`."""
    log_std_min: float = finite(-5.0)
    """The smallest log standard deviation of a latent edit."""
    log_std_max: float = finite(2.0)
    """The largest one."""

    def check(self, config: WholeConfig) -> Iterator[Check]:
        """Whether noise decides the actions."""
        noise = config.online.noise_correlation
        yield "online.noise_correlation", noise, not noise, "0 with agent=expo, which chooses between candidates"
