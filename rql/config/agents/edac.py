"""EDAC."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from rql.config.agents.base import StageData, StageInfo
from rql.config.agents.sac import SACConfig
from rql.config.registry import register
from rql.config.settings import Check, WholeConfig, at_least


@register("agent", "edac", implementation="rql.agents.edac:EDAC")
@dataclass
class EDACConfig(SACConfig):
    """EDAC (An et al. 2021): soft actor-critic with the minimum of many critics that are kept from agreeing on where
    actions get better; for continuous actions. `network.critic.ensemble_size` is 10 to 50 in the paper.
    """

    stages: ClassVar[tuple[StageInfo, ...]] = (
        StageInfo("offline", "EDAC offline", "policy", "offline", StageData.offline),
        StageInfo("online", "finetuning online", "policy", "finetuned", StageData.online),
    )

    diversity: float = at_least(1.0, 0)
    """η: weight of the likeness of the critics' gradients by the action."""

    def check(self, config: WholeConfig) -> Iterator[Check]:
        """Whether there are critics that could differ."""
        size = config.network.critic.ensemble_size
        yield "network.critic.ensemble_size", size, size >= 2, "at least 2"
