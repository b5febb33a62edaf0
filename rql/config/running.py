"""The typed configuration of what is watched and kept of a run, and of what ends it."""

from dataclasses import dataclass

from rql.config.choices import ActionMode, WandbMode, WatchdogAction
from rql.config.settings import Role, at_least, inside, length, positive

NAME_LENGTH, TYPE_LENGTH, TAG_LENGTH = 128, 64, 64
"""Characters that W&B takes, at most: in the name of a run, a group or a project; in a job type; in a tag."""


@dataclass
class EvaluationConfig:
    """Evaluations, in environments of their own."""

    episodes: int = at_least(10, 1, Role.how)
    """Episodes of an evaluation in the middle of a stage."""
    boundary_episodes: int = at_least(50, 1, Role.how)
    """Episodes at the end of each stage, for each of the modes."""
    num_envs: int = at_least(10, 1, Role.how)
    """Episodes that are played side by side."""
    max_episode_steps: int = at_least(10_000, 1)
    """Steps after which an episode is cut off, in an environment that does not end it."""
    mode: ActionMode = ActionMode.mode
    """The mode behind `return` and `success_rate`; the other one is evaluated at the end of each stage only."""


@dataclass
class TrackingConfig:
    """Weights & Biases, and how often metrics are recorded."""

    mode: WandbMode = WandbMode.auto
    """Where W&B's logs go; `auto` is online where there is a login, and offline elsewhere."""
    project: str = length("rql", 1, NAME_LENGTH, without="/\\#?%:")
    """The project in W&B."""
    entity: str | None = None
    """Whose project it is; null is the login's own."""
    group: str | None = length(None, 1, NAME_LENGTH)
    """What W&B groups runs by; the name of the sweep, in a sweep."""
    job_type: str | None = length(None, 1, TYPE_LENGTH)
    """W&B's type of a run; `sweep`, in a sweep."""
    name: str | None = length(None, 1, NAME_LENGTH)
    """The run's name in W&B; null is what is swept and the seed, as `beta=linear s1`."""
    tags: list[str] = length([], 1, TAG_LENGTH)
    """The run's tags in W&B."""
    notes: str | None = None
    """A text beside the run in W&B."""
    log_every: int = at_least(250, 1)
    """Updates between two records of the training metrics; environment steps online."""
    log_policy: bool = False
    """Keep the final agent.pt as a W&B artifact."""
    log_video: bool = False
    """Film an episode at the end of each stage, into the run's folder and W&B, and picture some beside the clone's."""


@dataclass
class CheckpointConfig:
    """When the whole state is saved; besides, it is at the end of each stage and when a signal asks the run to end."""

    minutes: float = at_least(5.0, 0)
    """Between two checkpoints; 0 is after every step."""
    steps: int | None = at_least(None, 1)
    """Updates (environment steps online) between two of them, if that is sooner."""
    keep: int = at_least(2, 1)
    """The newest ones that are kept, besides those at the end of the first two stages."""


@dataclass
class WatchdogConfig:
    """What happens when the training diverges."""

    action: WatchdogAction = WatchdogAction.stop
    """Stop, or go on from an earlier checkpoint with lower learning rates."""
    max_q: float = positive(1e6)
    """The largest mean TD target, in size, that passes for healthy."""
    max_rollbacks: int = at_least(3, 1)
    """How often a run goes back before it stops all the same."""
    learning_rate_factor: float = inside(0.5, 0, 1)
    """What a return to an earlier checkpoint multiplies all learning rates by."""


@dataclass
class JobsConfig:
    """How the jobs of a sweep are run."""

    again: str | None = None
    """The identity of a job of this sweep, to be run as it was recorded; `rql sweep retry` sweeps over it."""
    seeds: list[int] = at_least([], 0)
    """Seeds of each trial of a search, whose value is the mean of their headlines; empty is `seed` alone."""
    verify: bool = True
    """Make every environment and open every data set before the first job; `false` where they are only on a cluster."""
    prune: bool = False
    """End a job online whose best evaluation lies below the median of the others' at the same step."""
    prune_after: int = at_least(5, 1)
    """Jobs that must be over before any is pruned."""
    report: bool = True
    """Write a report into the sweep's folder at the end."""
