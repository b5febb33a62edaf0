"""The typed configuration of environments, data sets and rewards; the rest is in `rql.config.schema`."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from rql.config.choices import Unfinished, Vectorization
from rql.config.registry import register


@dataclass
class EnvConfig:
    """The environment, in training and in evaluation."""

    id: str = MISSING
    """A gymnasium id; `from_dataset` is the environment that the data set was made in."""
    kwargs: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments for `gymnasium.make`."""
    obs_keys: list[str] | None = None
    """Which entries of a dictionary observation the agent sees; null is observation and desired_goal, or all."""
    num_envs: int = 1
    """Environments that collect in parallel during online finetuning."""
    vectorization: Vectorization = Vectorization.sync
    step_timeout: float = 60.0
    """Seconds after which an environment in a process of its own is taken for hanging."""
    max_restarts: int = 10
    """How often environments that raise or hang are made anew before the run gives up."""


@dataclass
class SubsetConfig:
    """Which episodes of a data set are kept; the filters act in this order."""

    top_fraction: float = 1.0
    """This fraction of the episodes, those with the highest return."""
    min_return: float | None = None
    """Episodes of at least this return."""
    episodes: int | None = None
    """So many episodes, drawn at random."""
    transitions: int | None = None
    """Whole episodes, drawn at random until they hold so many transitions."""
    seed: int = 0
    """Of these draws."""


@dataclass
class BCDataConfig(SubsetConfig):
    """What π_BC is cloned from."""

    source: str | None = None
    """A Minari id, or the path of a .hdf5 or .npz file, with the demonstrations D_bc; null clones D_offline."""


@dataclass
class PartConfig(SubsetConfig):
    """A further data set mixed into D_offline."""

    source: str = MISSING
    """A Minari id, or the path of a .hdf5 or .npz file."""
    weight: float = 1.0
    """Draws from this part for each draw from the main one, on average."""


@dataclass
class DatasetConfig:
    """D_offline, and D_bc where it is another set."""

    keep: SubsetConfig = field(default_factory=SubsetConfig)
    """Filters of D_offline, before anything is mixed into it."""
    mix: list[PartConfig] = field(default_factory=list)
    """Further data sets that batches of D_offline are drawn from, with their weights."""
    bc: BCDataConfig = field(default_factory=BCDataConfig)
    unfinished: Unfinished = Unfinished.refuse
    """What becomes of an episode whose last step has no end flag."""
    root: str | None = None
    """The folder of the Minari data sets; null is Minari's own, which MINARI_DATASETS_PATH names."""
    download: bool = True
    """Fetch a Minari data set that is not there yet."""
    cache: str | None = None
    """The folder of converted data sets; null is `rql` in the user's cache folder, which XDG_CACHE_HOME names."""


@register("dataset", "demo")
@dataclass
class DemoDatasetConfig(DatasetConfig):
    """Demonstrations of a scripted controller of uneven skill, made on first use."""

    episodes: int = 100
    seed: int = 0


@register("dataset", "minari")
@dataclass
class MinariDatasetConfig(DatasetConfig):
    """A Minari data set by its id."""

    id: str = MISSING


@dataclass
class FileDatasetConfig(DatasetConfig):
    """A file with the keys of D4RL."""

    path: str = MISSING


@register("dataset", "d4rl")
@dataclass
class D4RLDatasetConfig(FileDatasetConfig):
    """HDF5."""


@register("dataset", "npz")
@dataclass
class NPZDatasetConfig(FileDatasetConfig):
    """Numpy's .npz."""


@register("dataset", "none")
@dataclass
class NoDatasetConfig(DatasetConfig):
    """No data: everything is learned online."""


@dataclass
class RewardConfig:
    """The reward that Q_R learns from, offline and online: scale · r + shift. Returns are reported of r itself."""

    scale: float = 1.0
    shift: float = 0.0
    return_range: bool = False
    """Let 1000 / (highest − lowest return of D_offline) multiply the scale, as is usual for D4RL locomotion."""
