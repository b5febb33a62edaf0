"""Residual Q-learning."""

from dataclasses import dataclass
from typing import ClassVar

from rql.config.agents.base import CLONING, METHOD_SECTIONS, AgentConfig, StageData, StageInfo
from rql.config.registry import register


@register("agent", "rql", implementation="rql.agents.rql.build:build")
@dataclass
class RQLConfig(AgentConfig):
    """Residual Q-learning: π_final ∝ π_BC · exp(β Q_R). Its hyper-parameters are the sections that it reads."""

    stages: ClassVar[tuple[StageInfo, ...]] = (
        CLONING,
        StageInfo("offline", "residual Q offline", "final", "offline", StageData.offline),
        StageInfo("online", "finetuning online", "final", "finetuned", StageData.online),
    )
    policies: ClassVar[dict[str, str]] = {"bc": "π_BC", "final": "π_final"}
    reads: ClassVar[frozenset[str]] = frozenset(METHOD_SECTIONS)
