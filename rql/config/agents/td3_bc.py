"""TD3 with behaviour cloning."""

from dataclasses import dataclass
from typing import ClassVar

from rql.config.agents.base import AgentConfig, StageData, StageInfo
from rql.config.registry import register


@register("agent", "td3_bc", implementation="rql.agents.td3_bc:TD3BC")
@dataclass
class TD3BCConfig(AgentConfig):
    """TD3+BC (Fujimoto & Gu 2021): TD3 whose policy also imitates the data; for continuous actions."""

    stages: ClassVar[tuple[StageInfo, ...]] = (
        StageInfo("offline", "TD3+BC offline", "policy", "offline", StageData.offline),
        StageInfo("online", "finetuning online", "policy", "finetuned", StageData.online),
    )
    policies: ClassVar[dict[str, str]] = {"policy": "π"}

    alpha: float = 2.5
    """Weight of Q, in units of its mean size, against the imitation of the data."""
    policy_noise: float = 0.2
    """Standard deviation of the noise on the target policy's actions, where an action ranges over [−1, 1]."""
    noise_clip: float = 0.5
    """The largest size of that noise."""
    policy_delay: int = 2
    """Updates of the critics to one of the policy and of the targets."""
    exploration_noise: float = 0.1
    """Standard deviation of the noise on actions that are sampled."""
    actor_learning_rate: float = 3e-4
    """Learning rate of the policy."""
