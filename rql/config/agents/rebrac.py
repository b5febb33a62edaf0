"""ReBRAC."""

from dataclasses import dataclass
from typing import ClassVar

from rql.config.agents.base import StageData, StageInfo
from rql.config.agents.td3_bc import TD3Config
from rql.config.registry import register
from rql.config.settings import at_least, between


@register("agent", "rebrac", implementation="rql.agents.rebrac:ReBRAC")
@dataclass
class ReBRACConfig(TD3Config):
    """ReBRAC (Tarasov et al. 2023): TD3 in which distance to the data costs both policy and value; for continuous
    actions.
    """

    stages: ClassVar[tuple[StageInfo, ...]] = (
        StageInfo("offline", "ReBRAC offline", "policy", "offline", StageData.offline),
        StageInfo("online", "finetuning online", "policy", "finetuned", StageData.online),
    )

    actor_penalty: float = at_least(0.01, 0)
    """β1: weight of the squared distance to the action of the data in the loss of the policy."""
    critic_penalty: float = at_least(0.01, 0)
    """β2: weight of the squared distance to the next action of the data in the value of the next state."""
    online_share: float = between(0.0, 0, 1)
    """The share of both that is left at the last online step, linear in between."""
