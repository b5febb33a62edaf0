"""Calibrated Q-learning."""

from dataclasses import dataclass
from typing import ClassVar

from rql.config.agents.base import StageData, StageInfo
from rql.config.agents.cql import CQLAgentConfig
from rql.config.registry import register


@register("agent", "cal_ql", implementation="rql.agents.cal_ql:CalQL")
@dataclass
class CalQLConfig(CQLAgentConfig):
    """Cal-QL (Nakamoto et al. 2023): CQL that pushes no value below the return that the data have from its state; for
    continuous actions.
    """

    stages: ClassVar[tuple[StageInfo, ...]] = (
        StageInfo("offline", "Cal-QL offline", "policy", "offline", StageData.offline),
        StageInfo("online", "finetuning online", "policy", "finetuned", StageData.online),
    )
