"""What is known of an agent before torch is imported: its stages, and how its policies are called."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from typing import Any, ClassVar


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


@dataclass(frozen=True)
class AgentTable:
    """The stages and policies of an agent, as run.json records them for whoever reads the run."""

    stages: tuple[StageInfo, ...] = ()
    """In their order."""
    policies: dict[str, str] = field(default_factory=dict)
    """The symbol of each policy."""

    @classmethod
    def of(cls, agent: AgentConfig, given_prior: bool = False) -> "AgentTable":
        """The table of an agent that is installed here; `given_prior` says that π_BC is not cloned."""
        stages = (PLAYING_PRIOR if given_prior and stage is CLONING else stage for stage in agent.stages)
        return cls(tuple(stages), agent.policies)

    @classmethod
    def from_plain(cls, content: dict[str, Any]) -> "AgentTable":
        """The table that `to_plain` gave.

        Raises:
            KeyError, TypeError, ValueError: if it is no such table.
        """
        stages = [StageInfo(**stage | {"data": StageData(stage["data"])}) for stage in content["stages"]]
        return cls(tuple(stages), dict(content["policies"]))

    def to_plain(self) -> dict[str, Any]:
        """The table as JSON has it."""
        stages = [asdict(stage) | {"data": stage.data.value} for stage in self.stages]
        return {"stages": stages, "policies": dict(self.policies)}

    def symbol(self, stage: StageInfo) -> str:
        """The symbol of the policy that a stage trains."""
        return self.policies.get(stage.policy, stage.policy)


def baseline_of(stages: Sequence[StageInfo]) -> StageInfo | None:
    """The stage whose policy the later ones are compared with; None where none is, or none comes after it."""
    return next((stage for stage in stages[:-1] if stage.baseline), None)


def merged_stages(tables: Iterable[AgentTable]) -> list[StageInfo]:
    """The stages of several agents, each name once, in an order that is that of each agent where they agree.

    A stage that has another label in one agent than in another is labelled by its name.
    """
    merged: list[StageInfo] = []
    labels: dict[str, set[str]] = {}
    for table in tables:
        place = len(merged)
        for stage in reversed(table.stages):
            labels.setdefault(stage.name, set()).add(stage.label)
            names = [other.name for other in merged]
            if stage.name in names:
                place = names.index(stage.name)
            else:
                merged.insert(place, stage)
    return [stage if len(labels[stage.name]) == 1 else replace(stage, label=stage.name) for stage in merged]


METHOD_SECTIONS = ("prior", "policy", "chunk", "bc", "baseline", "cql", "beta", "composition", "target")
"""Sections of the configuration that not every agent reads."""

CLONING = StageInfo("bc", "behaviour cloning", "bc", "π_BC", StageData.demonstrations, baseline=True)
"""The first stage of agents that begin with a clone."""
PLAYING_PRIOR = replace(CLONING, title="given prior", label="prior")
"""What it is where π_BC is a policy that is there already: there is nothing to learn, and it is evaluated alone."""
