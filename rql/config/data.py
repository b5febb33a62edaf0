"""The typed configuration of environments, data sets and rewards."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from rql.config.choices import (
    Failures,
    Headline,
    OutsideActions,
    PolicyClass,
    Reward,
    SuccessOf,
    Unfinished,
    Vectorization,
)
from rql.config.registry import choice_of, register
from rql.config.settings import Check, Role, WholeConfig, at_least, finite, fraction, positive, section, setting


@dataclass
class EnvConfig:
    """The environment, in training and in evaluation."""

    id: str = MISSING
    """A gymnasium id; `from_dataset` is the environment that the data set was made in."""
    kwargs: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments for `gymnasium.make`."""
    obs_keys: list[str] | None = None
    """Which entries of a dictionary observation the agent sees; null is observation and desired_goal, or all."""
    flatten_images: bool = False
    """Lay images flat; without it observations that are images are refused, for no network here is made for them."""
    reward: Reward = Reward.environment
    """What a step pays. With `success` and `step_cost` success ends the episode, and data are relabelled alike;
    `reward=success` and `reward=step_cost` set this.
    """
    terminate_on_success: bool = False
    """End an episode at success, also with the rewards of the environment."""
    headline: Headline = Headline["return"]
    """By what policies are compared, from the choice of best.pt to the report; `success` is the share of episodes in
    which `info` has a true `is_success` or `success`, in an environment that says so or the contrary.
    """
    num_envs: int = at_least(1, 1)
    """Environments that collect in parallel during online finetuning."""
    vectorization: Vectorization = setting(Vectorization.sync, Role.how)
    """Whether they run one after the other in this process, or in a process each."""
    step_timeout: float = positive(60.0, Role.how)
    """Seconds after which an environment in a process of its own is taken for hanging."""
    max_restarts: int = at_least(10, 0, Role.how)
    """How often environments that raise or hang are made anew before the run gives up."""

    @property
    def task(self) -> str:
        """The task by name: its id, or where one id has many, as Meta-World's, which of them it is."""
        return str(self.kwargs.get("env_name", self.id))


@dataclass
class SubsetConfig:
    """Which episodes of a data set are kept; the filters act in this order."""

    top_fraction: float = fraction(1.0)
    """This fraction of the episodes, those with the highest return."""
    min_return: float | None = None
    """Episodes of at least this return."""
    episodes: int | None = at_least(None, 1)
    """So many episodes, drawn at random."""
    transitions: int | None = at_least(None, 1)
    """Whole episodes, drawn at random until they hold so many transitions."""
    seed: int = at_least(0, 0)
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
    weight: float = positive(1.0)
    """Draws from this part for each draw from the main one, on average."""


@dataclass
class DatasetConfig:
    """D_offline, and D_bc where it is another set."""

    keep: SubsetConfig = section(SubsetConfig)
    """Filters of D_offline, before anything is mixed into it."""
    mix: list[PartConfig] = setting([])
    """Further data sets that batches of D_offline are drawn from, with their weights."""
    bc: BCDataConfig = section(BCDataConfig)
    """What π_BC is cloned from."""
    unfinished: Unfinished = Unfinished.refuse
    """What becomes of an episode whose last step has no end flag."""
    actions: OutsideActions = OutsideActions.refuse
    """What becomes of continuous actions outside the environment's bounds; those that are clipped are counted."""
    success: SuccessOf = SuccessOf.recorded
    """Which steps succeeded, where `env.reward` or `env.terminate_on_success` asks: those that the data say did, or the
    last one of each episode, for demonstrations that say nothing.
    """
    root: str | None = setting(None, Role.how)
    """The folder of the Minari data sets; null is Minari's own, which MINARI_DATASETS_PATH names."""
    download: bool = setting(True, Role.how)
    """Fetch a Minari data set that is not there yet."""
    cache: str | None = setting(None, Role.how)
    """The folder of converted data sets; null is `rql` in the user's cache folder, which XDG_CACHE_HOME names."""


@register("dataset", "demo", "rql.data.sources.demo:open_demo")
@dataclass
class DemoDatasetConfig(DatasetConfig):
    """Demonstrations of a scripted controller of uneven skill, made on first use."""

    episodes: int = at_least(100, 1)
    """How many there are."""
    seed: int = at_least(0, 0)
    """Of the controller's chance and the start states."""


@register("dataset", "scripted", "rql.collect.scripted:open_scripted")
@dataclass
class ScriptedDatasetConfig(DatasetConfig):
    """Demonstrations of the expert that comes with the environment, made on first use."""

    episodes: int = at_least(20, 1)
    """How many there are."""
    noise: float = at_least(0.1, 0)
    """Standard deviation of what is added to the expert's actions, as a share of half the range of each."""
    failures: Failures = Failures.drop
    """Whether episodes in which the expert did not succeed are among them."""
    seed: int = at_least(0, 0)
    """Of the start states, the goals and the noise."""


@register("dataset", "minari", "rql.data.sources.minari:open_configured")
@dataclass
class MinariDatasetConfig(DatasetConfig):
    """A Minari data set by its id."""

    id: str = MISSING
    """Such as `mujoco/hopper/medium-v0`."""


@dataclass
class FileDatasetConfig(DatasetConfig):
    """A file with the keys of D4RL."""

    path: str = MISSING
    """The file."""


@register("dataset", "d4rl", "rql.data.sources.d4rl:open_file")
@dataclass
class D4RLDatasetConfig(FileDatasetConfig):
    """An HDF5 file with the keys of D4RL."""


@register("dataset", "npz", "rql.data.sources.d4rl:open_file")
@dataclass
class NPZDatasetConfig(FileDatasetConfig):
    """A file of numpy's, .npz, with the keys of D4RL."""


@register("dataset", "robomimic", "rql.data.sources.robomimic:open_robomimic")
@dataclass
class RobomimicDatasetConfig(FileDatasetConfig):
    """An HDF5 file of demonstrations in the format of robomimic."""

    observations: list[str] | None = None
    """The keys of `obs` that make an observation, side by side; null takes all vectors, in alphabetical order."""


@register("dataset", "lerobot", "rql.data.sources.lerobot:open_lerobot")
@dataclass
class LeRobotDatasetConfig(FileDatasetConfig):
    """A folder in LeRobot's format, v2 or v3."""

    observations: list[str] | None = None
    """The features that make an observation, side by side; null takes `observation.state`, and
    `observation.environment_state` where there is one.
    """


@register("dataset", "ogbench", "rql.data.sources.ogbench:open_ogbench")
@dataclass
class OGBenchDatasetConfig(FileDatasetConfig):
    """A file that OGBench publishes, relabelled for the single task of the environment."""


@register("dataset", "none")
@dataclass
class NoDatasetConfig(DatasetConfig):
    """No data: everything is learned online."""

    def check(self, config: WholeConfig) -> Iterator[Check]:
        """Whether nothing needs data, and the first update need not wait for ever."""
        without = "without a data set (dataset=none)"
        uniform, given = config.policy.name is PolicyClass.uniform, choice_of("prior", config.prior).name != "bc"
        allowed = f"policy=uniform, or prior=torchscript, run or another that is there already, {without}"
        yield "policy.name", config.policy.name.name, uniform or given, allowed
        baseline = choice_of("baseline", config.baseline).name
        yield "baseline", baseline, baseline == "none" or uniform, f"none {without}, which would tell what it is"
        yield "offline.updates", config.offline.updates, config.offline.updates == 0, f"0 {without}"
        share, end = config.replay.offline_fraction, config.replay.offline_fraction_end
        yield "replay.offline_fraction", share, share == 0.0, f"0 {without}; replay=online_only sets it"
        yield "replay.offline_fraction_end", end, end in (None, 0.0), f"null {without}"
        yield "online.env_steps", config.online.env_steps, config.online.env_steps > 0, f"above 0 {without}"
        yield "dataset.mix", len(self.mix), not self.mix, f"empty {without}"
        yield "dataset.bc.source", self.bc.source, self.bc.source is None, f"null {without}"
        yield "reward.return_range", True, not config.reward.return_range, f"false {without}"
        yield "env.id", config.env.id, config.env.id != "from_dataset", f"an environment {without}"


@dataclass
class RewardConfig:
    """The reward that Q_R learns from, offline and online: scale · r + shift. Returns are reported of r itself."""

    scale: float = positive(1.0)
    """What rewards are multiplied by."""
    shift: float = finite(0.0)
    """What is then added."""
    return_range: bool = False
    """Let 1000 / (highest − lowest return of D_offline) multiply the scale, as is usual for D4RL locomotion."""
