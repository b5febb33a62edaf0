"""The typed configuration of `rql collect`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig

from rql.config.choices import ActionMode
from rql.config.compose import register_schemas, typed
from rql.config.data import DatasetConfig, EnvConfig
from rql.config.priors import RunPolicyConfig, SB3PolicyConfig
from rql.config.registry import register
from rql.config.settings import at_least, between, checks_of, section, setting
from rql.config.validate import refuse_impossible
from rql.utils.errors import ConfigError

AUTO = "auto"
"""The `env.id` that leaves the environment to the behaviour policy."""


@dataclass
class BehaviourConfig:
    """The policy that acts, μ in the literature."""


@register("behaviour", "random", "rql.collect.behaviours:random_actions")
@dataclass
class RandomBehaviourConfig(BehaviourConfig):
    """Actions drawn uniformly."""


@register("behaviour", "scripted", "rql.collect.behaviours:scripted_actions")
@dataclass
class ScriptedBehaviourConfig(BehaviourConfig):
    """The controller of `dataset=demo`."""

    random_chance: float = between(0.0, 0, 1)
    """The probability that a step is left to a uniformly drawn action."""


@register("behaviour", "expert", "rql.collect.behaviours:expert_actions")
@dataclass
class ExpertBehaviourConfig(BehaviourConfig):
    """The expert that comes with the environment, as in `dataset=scripted`."""

    noise: float = at_least(0.1, 0)
    """Standard deviation of what is added to its actions, as a share of half the range of each."""


@register("behaviour", "run", "rql.collect.behaviours:trained_policy")
@dataclass
class RunBehaviourConfig(RunPolicyConfig, BehaviourConfig):
    """A policy that `run.py` trained."""

    mode: ActionMode = ActionMode.sample
    """Its most probable action, or one that is drawn."""


@register("behaviour", "sb3", "rql.collect.behaviours:sb3_policy")
@dataclass
class SB3BehaviourConfig(SB3PolicyConfig, BehaviourConfig):
    """A policy that stable-baselines3 trained."""

    mode: ActionMode = ActionMode.sample
    """Its most probable action, or one that is drawn."""


@dataclass
class CollectConfig:
    """A collection of episodes."""

    id: str = MISSING
    """The Minari id of the data set that is made."""
    steps: int | None = at_least(None, 1)
    """Whole episodes until there are so many steps."""
    episodes: int | None = at_least(None, 1)
    """So many whole episodes."""
    max_episode_steps: int = at_least(10_000, 1)
    """Steps after which an episode is truncated, in an environment that does not end it."""
    env: EnvConfig = section(EnvConfig)
    dataset: DatasetConfig = MISSING
    """`dataset.root` is where the data set is written; what else `env` brings here is not read."""
    behaviour: BehaviourConfig = MISSING
    seed: int = at_least(0, 0)
    """Episode i starts from the state of seed `seed` + i."""
    author: str | None = None
    """Of the data set, in its metadata."""
    description: str | None = None
    """Of the data set, in its metadata."""
    threads: int = at_least(1, 1)
    """CPU threads for torch."""
    imports: list[str] = setting([])
    """Modules of your own, imported before anything else, that register choices; on PYTHONPATH or right here."""


def register_collect(folders: Sequence[Path] = ()) -> None:
    """Make the schemas known to Hydra; `folders` as in `register_schemas`."""
    register_schemas(folders)
    store = ConfigStore.instance()
    store.store(name="collect_schema", node=CollectConfig)


def load_collect(composed: DictConfig) -> CollectConfig:
    """The composed configuration as checked dataclasses.

    Raises:
        ConfigError: if a value cannot work.
    """
    config = typed(composed, CollectConfig)
    refuse_impossible(checks_of(config))
    if (config.steps is None) == (config.episodes is None):
        allowed = f"either steps or episodes must be given (episodes={config.episodes})"
        raise ConfigError("steps", config.steps, allowed)
    if config.env.id == AUTO and not isinstance(config.behaviour, RunBehaviourConfig):
        raise ConfigError("env.id", AUTO, "only behaviour=run knows its environment; env=CHOICE or env.id=ID names one")
    return config
