"""Behaviour cloning alone."""

from dataclasses import dataclass
from typing import ClassVar

from rql.config.agents.base import CLONING, AgentConfig, StageInfo
from rql.config.registry import register


@register("agent", "bc", implementation="rql.agents.bc:BC")
@dataclass
class BCAgentConfig(AgentConfig):
    """Behaviour cloning: the baseline of everything that is finetuned."""

    stages: ClassVar[tuple[StageInfo, ...]] = (CLONING,)
    policies: ClassVar[dict[str, str]] = {"bc": "π_BC"}
    reads: ClassVar[frozenset[str]] = frozenset({"bc", "policy", "chunk"})
