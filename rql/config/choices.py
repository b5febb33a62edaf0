"""The named choices of the configuration."""

from enum import Enum


class Vectorization(Enum):
    """How parallel environments run: one after the other in this process, or a process each."""

    sync = "sync"
    subprocess = "subprocess"


class Compile(Enum):
    """Whether updates are compiled for this machine; `auto` does so in stages that are long enough to repay it."""

    auto = "auto"
    on = "on"
    off = "off"


class Precision(Enum):
    """In which hidden layers multiply when they learn; `auto` takes what is faster on this machine."""

    auto = "auto"
    float32 = "float32"
    bf16 = "bf16"


class PolicyClass(Enum):
    """The family of π_BC; `auto` takes what the action space asks for, `uniform` clones nothing, `flow` and
    `mixture` clone several ways of doing the same.
    """

    auto = "auto"
    categorical = "categorical"
    squashed_gaussian = "squashed_gaussian"
    uniform = "uniform"
    flow = "flow"
    mixture = "mixture"


class Aggregate(Enum):
    """How an ensemble of critics becomes one value."""

    min = "min"
    mean = "mean"
    random_min = "random_min"


class Reward(Enum):
    """What a step pays: what the environment pays, or 1 at success and else 0, or 0 at success and else −1."""

    environment = "environment"
    success = "success"
    step_cost = "step_cost"


class SuccessOf(Enum):
    """Which steps of a data set succeeded: those that it says did, or the last one of each episode."""

    recorded = "recorded"
    last_step = "last_step"


class Failures(Enum):
    """What becomes of the episodes in which an expert did not succeed."""

    drop = "drop"
    keep = "keep"


class Unfinished(Enum):
    """What becomes of an episode whose last step is neither terminated nor truncated."""

    refuse = "refuse"
    truncate = "truncate"
    drop = "drop"


class OutsideActions(Enum):
    """What becomes of actions outside the bounds of the environment's."""

    refuse = "refuse"
    clip = "clip"


class ActionMode(Enum):
    """How a policy acts: at its mode (deterministic) or sampling."""

    mode = "mode"
    sample = "sample"


Headline = Enum("Headline", {"return": "return", "success": "success"})  # no class body can name a `return`
Headline.__doc__ = "By what policies are compared: their mean return, or the share of their episodes that succeed."


class WandbMode(Enum):
    """`auto` is online where a W&B login exists and offline elsewhere."""

    auto = "auto"
    online = "online"
    offline = "offline"
    disabled = "disabled"


class WatchdogAction(Enum):
    """What to do with a training that diverged: stop, or go on from an earlier checkpoint with lower learning rates."""

    stop = "stop"
    roll_back = "roll_back"
