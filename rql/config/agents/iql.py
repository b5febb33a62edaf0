"""Implicit Q-learning."""

from dataclasses import dataclass
from typing import ClassVar

from rql.config.agents.base import AgentConfig, StageData, StageInfo
from rql.config.registry import register
from rql.config.settings import finite, inside, positive


@register("agent", "iql", implementation="rql.agents.iql:IQL")
@dataclass
class IQLConfig(AgentConfig):
    """Implicit Q-learning (Kostrikov et al. 2022): no action outside the data is ever asked for its value."""

    stages: ClassVar[tuple[StageInfo, ...]] = (
        StageInfo("offline", "IQL offline", "policy", "offline", StageData.offline),
        StageInfo("online", "finetuning online", "policy", "finetuned", StageData.online),
    )
    policies: ClassVar[dict[str, str]] = {"policy": "π"}

    expectile: float = inside(0.7, 0, 1)
    """τ of the expectile regression of V: the higher, the nearer V is to the best action of the data."""
    temperature: float = positive(3.0)
    """What multiplies the advantage in the exponent of the weight of an action."""
    max_weight: float = positive(100.0)
    """The largest weight of an action in the loss of the policy."""
    actor_learning_rate: float = positive(3e-4)
    """Of the policy; Q and V learn at `q.learning_rate`."""
    log_std_min: float = finite(-5.0)
    """The smallest log standard deviation of an action."""
    log_std_max: float = finite(2.0)
    """The largest one."""
