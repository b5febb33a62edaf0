"""What is known of an agent before torch is imported: its stages, and how its policies are called."""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar


class StageData(Enum):
    """What the batches of a stage are drawn from."""

    demonstrations = "demonstrations"
    """D_bc."""
    offline = "offline"
    """D_offline."""
    online = "online"
    """A mix of D_offline and of what the stage collects itself."""


@dataclass(frozen=True)
class StageInfo:
    """A row of an agent's table of stages, from which every title, unit and name of a metric comes; run.json has it."""

    name: str
    """The section of the configuration with its length, and the prefix of its metrics."""
    title: str
    """What happens in it, as the progress display shows it."""
    policy: str
    """The policy that is trained, and evaluated."""
    label: str
    """That policy at the end of the stage, in tables and figures."""
    data: StageData
    baseline: bool = False
    """Whether its policy is what those of later stages are compared with."""

    @property
    def online(self) -> bool:
        """Whether it acts in the environment."""
        return self.data is StageData.online

    @property
    def unit(self) -> str:
        """What its steps are."""
        return "env steps" if self.online else "updates"

    @property
    def axis(self) -> str:
        """The label of an axis over its steps."""
        return "online environment steps" if self.online else f"{self.name} updates"

    @property
    def step_metric(self) -> str:
        """The name of its steps in W&B."""
        return f"{self.name}/{'env_step' if self.online else 'update'}"


@dataclass
class AgentConfig:
    """The hyper-parameters of an agent that no other agent has."""

    stages: ClassVar[tuple[StageInfo, ...]] = ()
    """In their order."""
    policies: ClassVar[dict[str, str]] = {}
    """The symbol of each policy."""
    reads: ClassVar[frozenset[str]] = frozenset()
    """Which of `METHOD_SECTIONS` decide what the agent does; the others are not part of its experiments."""


METHOD_SECTIONS = ("policy", "bc", "cql", "beta", "composition", "target")
"""Sections of the configuration that not every agent reads."""

CLONING = StageInfo("bc", "behaviour cloning", "bc", "π_BC", StageData.demonstrations, baseline=True)
"""The first stage of agents that begin with a clone."""
