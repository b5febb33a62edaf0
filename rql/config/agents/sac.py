"""Soft actor-critic."""

from dataclasses import dataclass
from typing import ClassVar

from rql.config.agents.base import AgentConfig, StageData, StageInfo
from rql.config.registry import register
from rql.config.settings import finite, positive


@register("agent", "sac", implementation="rql.agents.sac:SAC")
@dataclass
class SACConfig(AgentConfig):
    """Soft actor-critic (Haarnoja et al. 2018b), which learns online alone; for continuous actions. Data are replayed
    beside what it collects (RLPD, Ball et al. 2023), unless replay=online_only.
    """

    stages: ClassVar[tuple[StageInfo, ...]] = (
        StageInfo("online", "soft actor-critic", "policy", "finetuned", StageData.online),
    )
    policies: ClassVar[dict[str, str]] = {"random": "uniform", "policy": "π"}

    actor_learning_rate: float = positive(3e-4)
    """Of the policy; Q learns at `q.learning_rate`."""
    temperature_learning_rate: float = positive(3e-4)
    """Of log α, the logarithm of the temperature."""
    initial_temperature: float = positive(1.0)
    """α at first."""
    target_entropy: float = finite(-1.0)
    """The entropy that α holds the policy at, in nats for each dimension of an action."""
    backup_entropy: bool = True
    """Whether the value of the next state includes the entropy of the policy."""
    log_std_min: float = finite(-5.0)
    """The smallest log standard deviation of a latent action."""
    log_std_max: float = finite(2.0)
    """The largest one."""
