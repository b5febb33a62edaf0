"""The typed configuration: one dataclass a section, the defaults a user meets when a YAML file is silent.

`conf/` holds the values; this file holds names, types and meaning. A value marked `MISSING` has no sensible
default and must come from `conf/` or from the command line.
"""

from dataclasses import dataclass, field

from omegaconf import MISSING

from rql.config.agents.base import AgentConfig
from rql.config.choices import ActionMode, Aggregate, PolicyClass, Target, WandbMode, WatchdogAction
from rql.config.data_schema import DatasetConfig, EnvConfig, RewardConfig
from rql.config.registry import register


@dataclass
class PolicyConfig:
    """The policy class of π_BC and π_θ."""

    name: PolicyClass = PolicyClass.auto
    log_std_min: float = -5.0
    log_std_max: float = 2.0


@dataclass
class ActorNetworkConfig:
    """The network of π_BC and of π_θ."""

    hidden: list[int] = field(default_factory=lambda: [64, 64])
    layer_norm: bool = True


@dataclass
class CriticNetworkConfig:
    """The ensemble of critics."""

    hidden: list[int] = field(default_factory=lambda: [64, 64])
    layer_norm: bool = True
    ensemble_size: int = 2
    aggregate: Aggregate = Aggregate.min
    subset_size: int = 2
    """Critics drawn for each update by `aggregate=random_min`."""


@dataclass
class NetworkConfig:
    """Sizes of the networks."""

    actor: ActorNetworkConfig = field(default_factory=ActorNetworkConfig)
    critic: CriticNetworkConfig = field(default_factory=CriticNetworkConfig)


@dataclass
class BetaConfig:
    """β in π_final ∝ π_BC · exp(β Q). Offline it keeps its first value; the schedule runs over online steps."""


@register("beta", "constant")
@dataclass
class ConstantBetaConfig(BetaConfig):
    """β(t) = value."""

    value: float = MISSING


@dataclass
class RampBetaConfig(BetaConfig):
    """β moves from `start` to `end`; never down, for Q is trusted more as it learns."""

    start: float = MISSING
    """β offline and until `start_step`."""
    end: float = MISSING
    start_step: int = 0
    """Online environment step at which β starts to move."""
    end_step: int | None = None
    """Online environment step at which β reaches `end`; null is the last one."""


@register("beta", "linear")
@dataclass
class LinearBetaConfig(RampBetaConfig):
    """In a straight line."""


@register("beta", "cosine")
@dataclass
class CosineBetaConfig(RampBetaConfig):
    """Slowly, fast, slowly."""


@register("beta", "exponential")
@dataclass
class ExponentialBetaConfig(RampBetaConfig):
    """By the same factor at every step."""


@register("beta", "kl")
@dataclass
class KLBetaConfig(BetaConfig):
    """Adapts β so that the measured KL(π_final ‖ π_BC) follows a budget in nats."""

    initial: float = MISSING
    budget_start: float = MISSING
    """The budget offline, and at the first online step."""
    budget_end: float = MISSING
    """The budget at the last online step; linear in between."""
    rate: float = 0.003
    """Relative change of β in one update when the KL is off by the whole budget."""
    max: float = 100.0


@dataclass
class CQLConfig:
    """The conservative term L_CQL."""

    alpha: float = MISSING
    """Weight α_CQL of the conservative term offline."""
    online_alpha: float = 0.0
    """Its weight after the switch to online finetuning."""
    fade_steps: int = 0
    """Online environment steps over which α moves linearly from `alpha` to `online_alpha`; 0 is at once."""
    num_samples: int = 10
    """Actions from each proposal (uniform and policy) in the estimate of log ∫ exp Q; continuous actions only."""


@dataclass
class CompositionConfig:
    """How π_final is sampled. Discrete actions need no estimate: their composition is an exact sum either way."""


@register("composition", "resample")
@dataclass
class ResampleConfig(CompositionConfig):
    """N candidates from π_BC, one of them by softmax(β Q)."""

    num_candidates: int = 32
    """Actions drawn from π_BC, of which softmax(β Q) picks one."""


@register("composition", "amortized")
@dataclass
class AmortizedConfig(CompositionConfig):
    """A network π_θ, at first a copy of π_BC, that minimises KL(π_θ ‖ π_final)."""

    learning_rate: float = 3e-4
    """Of the network π_θ that follows π_final."""


@dataclass
class TargetConfig:
    """The value of the next state in the TD target."""

    name: Target = MISSING
    num_samples: int = 10
    """Actions in the estimate of the next state's value; continuous actions only."""


@dataclass
class ReplayConfig:
    """The replay buffer, and how batches mix it with D_offline."""

    capacity: int = 1_000_000
    """Online transitions kept; the oldest leave first."""
    offline_fraction: float = 0.5
    """Share of each online batch that comes from D_offline."""
    offline_fraction_end: float | None = None
    """Its value at the last online step, linear in between; null keeps it constant."""


@dataclass
class BCConfig:
    """The first stage: behaviour cloning."""

    updates: int = MISSING
    learning_rate: float = 3e-4
    eval_every: int = 0
    """Updates between evaluations; 0 evaluates at the end of the stage only."""


@dataclass
class QConfig:
    """Learning Q_R."""

    learning_rate: float = 3e-4
    discount: float = 0.99
    tau: float = 0.005
    """Target network: Q̄ ← (1−τ) Q̄ + τ Q."""
    n_step: int = 1
    """Rewards in a TD target before it bootstraps; fewer where an episode ends."""
    normalize: bool = True
    """Let β multiply Q divided by a running scale, its standard deviation over the actions of π_BC."""


@dataclass
class OfflineConfig:
    """The second stage: Q_R on D_offline."""

    updates: int = MISSING
    eval_every: int = 0


@dataclass
class OnlineConfig:
    """The third stage: finetuning in the environment."""

    env_steps: int = MISSING
    warmup_fraction: float = 0.1
    """The share of the environment steps that is collected with the composed policy before the first update."""
    utd: float = 1.0
    """Updates to an environment step."""
    eval_every: int = 0
    stop_return: float | None = None
    """End the stage at the first evaluation whose mean return reaches this."""
    save_replay: str | None = None
    """A Minari id under which the episodes of this stage are kept."""


@dataclass
class EvaluationConfig:
    """Evaluations, in environments of their own."""

    episodes: int = 10
    boundary_episodes: int = 50
    """Episodes at the end of each stage, for each of the modes."""
    num_envs: int = 10
    mode: ActionMode = ActionMode.mode
    """The mode behind `return`; the other one is evaluated at the end of each stage only."""


@dataclass
class TrackingConfig:
    """Weights & Biases, and how often metrics are recorded."""

    mode: WandbMode = WandbMode.auto
    project: str = "rql"
    entity: str | None = None
    group: str | None = None
    """What W&B groups runs by; the name of the sweep, in a sweep."""
    job_type: str | None = None
    name: str | None = None
    tags: list[str] = field(default_factory=list)
    notes: str | None = None
    log_every: int = 250
    """Updates between two records of the training metrics; environment steps online."""
    log_policy: bool = False
    """Keep the final agent.pt as a W&B artifact."""
    log_video: bool = False
    """Film an episode at the end of each stage, into the run's folder and W&B."""


@dataclass
class CheckpointConfig:
    """When the whole state is saved; besides, it is at the end of each stage and when a signal asks the run to end."""

    minutes: float = 5.0
    """Between two checkpoints; 0 is after every step."""
    steps: int | None = None
    """Updates (environment steps online) between two of them, if that is sooner."""
    keep: int = 2
    """The newest ones that are kept, besides those at the end of the first two stages."""


@dataclass
class WatchdogConfig:
    """What happens when the training diverges."""

    action: WatchdogAction = WatchdogAction.stop
    max_q: float = 1e6
    """The largest mean TD target, in size, that passes for healthy."""
    max_rollbacks: int = 3
    learning_rate_factor: float = 0.5
    """What a return to an earlier checkpoint multiplies all learning rates by."""


@dataclass
class JobsConfig:
    """How the jobs of a sweep are run."""

    again: str | None = None
    """The identity of a job of this sweep, to be run as it was recorded; `rql sweep retry` sweeps over it."""
    prune: bool = False
    """End a job online whose best evaluation lies below the median of the others' at the same step."""
    prune_after: int = 5
    """Jobs that must be over before any is pruned."""
    report: bool = True
    """Write a report into the sweep's folder at the end."""


@dataclass
class Config:
    """A whole experiment."""

    agent: AgentConfig = MISSING
    env: EnvConfig = field(default_factory=EnvConfig)
    dataset: DatasetConfig = MISSING
    reward: RewardConfig = field(default_factory=RewardConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    bc: BCConfig = field(default_factory=BCConfig)
    q: QConfig = field(default_factory=QConfig)
    cql: CQLConfig = field(default_factory=CQLConfig)
    beta: BetaConfig = MISSING
    composition: CompositionConfig = MISSING
    target: TargetConfig = field(default_factory=TargetConfig)
    offline: OfflineConfig = field(default_factory=OfflineConfig)
    online: OnlineConfig = field(default_factory=OnlineConfig)
    replay: ReplayConfig = field(default_factory=ReplayConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    watchdog: WatchdogConfig = field(default_factory=WatchdogConfig)
    jobs: JobsConfig = field(default_factory=JobsConfig)
    batch_size: int = 256
    seed: int = 0
    device: str = "cpu"
    """`cpu`, `cuda`, `cuda:1`, or `auto`: a GPU where there is one."""
    threads: int = 1
    """CPU threads for torch. More pay for large networks on idle cores, and cost dearly on busy ones."""
    resume: str = "auto"
    """`auto` goes on with the run that the folder holds, `never` refuses it; a folder goes on with its own."""
