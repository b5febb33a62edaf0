"""The typed configuration of a run: one dataclass a section, the defaults a user meets when a YAML file is silent.

`conf/` holds the values; the dataclasses hold names, types, ranges, roles and meaning. A value marked `MISSING` has no
sensible default and must come from `conf/` or from the command line.
"""

from dataclasses import dataclass

from omegaconf import MISSING

from rql.config.agents.base import AgentConfig, AgentTable
from rql.config.choices import Compile, Precision
from rql.config.data import DatasetConfig, EnvConfig, RewardConfig
from rql.config.method import (
    AmortizedConfig,
    BaselineConfig,
    BetaConfig,
    CompositionConfig,
    CQLConfig,
    QConfig,
    TargetConfig,
)
from rql.config.networks import ChunkConfig, NetworkConfig, PolicyConfig
from rql.config.priors import GivenPriorConfig, PriorConfig
from rql.config.running import CheckpointConfig, EvaluationConfig, JobsConfig, TrackingConfig, WatchdogConfig
from rql.config.settings import Role, at_least, section, setting
from rql.config.stages import BCConfig, OfflineConfig, OnlineConfig, ReplayConfig


@dataclass
class Config:
    """A whole experiment."""

    agent: AgentConfig = MISSING
    env: EnvConfig = section(EnvConfig)
    dataset: DatasetConfig = MISSING
    reward: RewardConfig = section(RewardConfig)
    prior: PriorConfig = MISSING
    policy: PolicyConfig = section(PolicyConfig)
    chunk: ChunkConfig = section(ChunkConfig)
    network: NetworkConfig = section(NetworkConfig)
    bc: BCConfig = section(BCConfig)
    baseline: BaselineConfig = MISSING
    q: QConfig = section(QConfig)
    cql: CQLConfig = section(CQLConfig)
    beta: BetaConfig = MISSING
    composition: CompositionConfig = MISSING
    target: TargetConfig = MISSING
    offline: OfflineConfig = section(OfflineConfig)
    online: OnlineConfig = section(OnlineConfig)
    replay: ReplayConfig = section(ReplayConfig)
    evaluation: EvaluationConfig = section(EvaluationConfig)
    tracking: TrackingConfig = section(TrackingConfig, Role.how)
    checkpoint: CheckpointConfig = section(CheckpointConfig, Role.how)
    watchdog: WatchdogConfig = section(WatchdogConfig, Role.budget)
    jobs: JobsConfig = section(JobsConfig, Role.how)
    batch_size: int = at_least(256, 1)
    """Transitions in a batch."""
    seed: int = at_least(0, 0)
    """Of all random numbers."""
    device: str = setting("cpu", Role.how)
    """`cpu`, `cuda`, `cuda:1`, or `auto`: a GPU where there is one."""
    threads: int = at_least(1, 1, Role.how)
    """CPU threads for torch. More pay for large networks on idle cores, and cost dearly on busy ones."""
    compile: Compile = setting(Compile.auto, Role.how)
    """Whether updates are compiled, which takes a C++ compiler, about 20 seconds at first and a few later, and makes
    those of small networks two to four times as fast. `auto` does so in stages of 2,000 updates and more, `on` always,
    `off` never; in a YAML file the latter two are quoted.
    """
    precision: Precision = setting(Precision.float32, Role.how)
    """Of hidden layers in updates: `float32`, or `bf16`, while weights, what networks take and give, losses and targets
    stay in float32. It is fast on processors with units for it, and too coarse where Q differs little between actions.
    `auto` takes bf16 where an update is compiled, its products are large and it makes them at least twice as fast.
    """
    imports: list[str] = setting([], Role.how)
    """Modules of your own, imported before anything else, that register choices; on PYTHONPATH or right here."""
    resume: str = setting("auto", Role.how)
    """`auto` goes on with the run that the folder holds, `never` refuses it; a folder goes on with its own."""

    @property
    def table(self) -> AgentTable:
        """The stages and policies of its agent, as this run goes through them."""
        return AgentTable.of(self.agent, isinstance(self.prior, GivenPriorConfig))

    @property
    def asks_prior(self) -> bool:
        """Whether π_BC is a policy that is there already and is asked for what it proposes."""
        return isinstance(self.prior, GivenPriorConfig) and not self.adopts_prior

    @property
    def adopts_prior(self) -> bool:
        """Whether π_BC is a policy that is there already, whose network and normaliser the agent takes over."""
        return isinstance(self.prior, GivenPriorConfig) and isinstance(self.composition, AmortizedConfig)

    @property
    def n_step(self) -> int:
        """Environment steps of a TD target: `q.n_step` decisions."""
        return self.q.n_step * self.chunk.executed
