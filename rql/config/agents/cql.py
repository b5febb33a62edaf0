"""Conservative Q-learning."""

from dataclasses import dataclass
from typing import ClassVar

from rql.config.agents.base import StageData, StageInfo
from rql.config.agents.sac import SACConfig
from rql.config.registry import register
from rql.config.settings import at_least, positive


@register("agent", "cql", implementation="rql.agents.cql:CQL")
@dataclass
class CQLAgentConfig(SACConfig):
    """CQL (Kumar et al. 2020): soft actor-critic whose critics are pushed down where the data have no actions; for
    continuous actions.
    """

    stages: ClassVar[tuple[StageInfo, ...]] = (
        StageInfo("offline", "CQL offline", "policy", "offline", StageData.offline),
        StageInfo("online", "finetuning online", "policy", "finetuned", StageData.online),
    )

    alpha: float = at_least(5.0, 0)
    """α_CQL: weight of the conservative term offline."""
    online_alpha: float = at_least(5.0, 0)
    """Its weight online."""
    num_samples: int = at_least(10, 1)
    """Actions from each proposal (uniform, π in s, π in s') in the estimate of log ∫ exp Q."""
    backup_entropy: bool = False
    """Whether the value of the next state includes the entropy of the policy."""
    actor_learning_rate: float = positive(1e-4)
    """Of the policy; Q learns at `q.learning_rate`."""
