"""Advantage-weighted actor-critic."""

from dataclasses import dataclass
from typing import ClassVar

from rql.config.agents.base import AgentConfig, StageData, StageInfo
from rql.config.registry import register
from rql.config.settings import finite, positive


@register("agent", "awac", implementation="rql.agents.awac:AWAC")
@dataclass
class AWACConfig(AgentConfig):
    """AWAC (Nair et al. 2020): Q of the policy, which is regressed on the better actions of the data."""

    stages: ClassVar[tuple[StageInfo, ...]] = (
        StageInfo("offline", "AWAC offline", "policy", "offline", StageData.offline),
        StageInfo("online", "finetuning online", "policy", "finetuned", StageData.online),
    )
    policies: ClassVar[dict[str, str]] = {"policy": "π"}

    temperature: float = positive(1.0)
    """λ: the smaller, the more the policy prefers the better actions of the data."""
    actor_learning_rate: float = positive(3e-4)
    """Of the policy; Q learns at `q.learning_rate`."""
    log_std_min: float = finite(-6.0)
    """The smallest log standard deviation of an action."""
    log_std_max: float = finite(0.0)
    """The largest one."""
