"""TD3 with behaviour cloning."""

from dataclasses import dataclass
from typing import ClassVar

from rql.config.agents.base import AgentConfig, StageData, StageInfo
from rql.config.registry import register
from rql.config.settings import at_least, positive


@dataclass
class TD3Config(AgentConfig):
    """What the agents that build on TD3 (Fujimoto et al. 2018) have in common."""

    policies: ClassVar[dict[str, str]] = {"policy": "π"}

    policy_noise: float = at_least(0.2, 0)
    """Standard deviation of the noise on the target policy's actions, where an action ranges over [−1, 1]."""
    noise_clip: float = at_least(0.5, 0)
    """The largest size of that noise."""
    policy_delay: int = at_least(2, 1)
    """Updates of the critics to one of the policy and of the targets."""
    exploration_noise: float = at_least(0.1, 0)
    """Standard deviation of the noise on actions that are sampled."""
    actor_learning_rate: float = positive(3e-4)
    """Of the policy; Q learns at `q.learning_rate`."""


@register("agent", "td3_bc", implementation="rql.agents.td3_bc:TD3BC")
@dataclass
class TD3BCConfig(TD3Config):
    """TD3+BC (Fujimoto & Gu 2021): TD3 whose policy also imitates the data; for continuous actions."""

    stages: ClassVar[tuple[StageInfo, ...]] = (
        StageInfo("offline", "TD3+BC offline", "policy", "offline", StageData.offline),
        StageInfo("online", "finetuning online", "policy", "finetuned", StageData.online),
    )

    alpha: float = positive(2.5)
    """Weight of Q, in units of its mean size, against the imitation of the data."""
