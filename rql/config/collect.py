"""The typed configuration of `rql collect`."""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig

from rql.config.choices import ActionMode
from rql.config.compose import register_schemas, typed
from rql.config.data_schema import DatasetConfig, EnvConfig
from rql.config.registry import register
from rql.utils.errors import ConfigError

AUTO = "auto"
"""The `env.id` that leaves the environment to the behaviour policy."""


@dataclass
class BehaviourConfig:
    """The policy that acts, μ in the literature."""


@register("behaviour", "random")
@dataclass
class RandomBehaviourConfig(BehaviourConfig):
    """Actions drawn uniformly."""


@register("behaviour", "scripted")
@dataclass
class ScriptedBehaviourConfig(BehaviourConfig):
    """The controller of `dataset=demo`."""

    random_chance: float = 0.0
    """The probability that a step is left to a uniformly drawn action."""


@register("behaviour", "run")
@dataclass
class RunBehaviourConfig(BehaviourConfig):
    """A policy that `run.py` trained."""

    run: str = MISSING
    """The folder of the run."""
    policy: str | None = None
    """A policy of the run's agent, such as `bc`; null is the one that was finetuned."""
    mode: ActionMode = ActionMode.sample


@register("behaviour", "sb3")
@dataclass
class SB3BehaviourConfig(BehaviourConfig):
    """A policy that stable-baselines3 trained."""

    path: str = MISSING
    """The .zip file."""
    algorithm: str = "SAC"
    """Its class in stable_baselines3."""
    mode: ActionMode = ActionMode.sample
    trusted: bool = False
    """Such a file may carry code, which runs as it is opened; say that you know where yours is from."""


@dataclass
class CollectConfig:
    """A collection of episodes."""

    id: str = MISSING
    """The Minari id of the data set that is made."""
    steps: int | None = None
    """Whole episodes until there are so many steps."""
    episodes: int | None = None
    env: EnvConfig = field(default_factory=EnvConfig)
    dataset: DatasetConfig = MISSING
    """`dataset.root` is where the data set is written; what else `env` brings here is not read."""
    behaviour: BehaviourConfig = MISSING
    seed: int = 0
    """Episode i starts from the state of seed `seed` + i."""
    author: str | None = None
    description: str | None = None
    threads: int = 1


def register_collect() -> None:
    """Make the schemas known to Hydra."""
    register_schemas()
    store = ConfigStore.instance()
    store.store(name="collect_schema", node=CollectConfig)


def load_collect(composed: DictConfig) -> CollectConfig:
    """The composed configuration as checked dataclasses.

    Raises:
        ConfigError: if a value cannot work.
    """
    config = typed(composed, CollectConfig)
    for name, count in (("steps", config.steps), ("episodes", config.episodes)):
        _require(count is None or count > 0, name, count, "at least 1")
    one = (config.steps is None) != (config.episodes is None)
    _require(one, "steps", config.steps, f"either steps or episodes must be given (episodes={config.episodes})")
    _require(config.seed >= 0, "seed", config.seed, "at least 0")
    _require(config.threads >= 1, "threads", config.threads, "at least 1")
    _require(config.env.num_envs >= 1, "env.num_envs", config.env.num_envs, "at least 1")
    behaviour = config.behaviour
    if isinstance(behaviour, ScriptedBehaviourConfig):
        chance = behaviour.random_chance
        _require(0.0 <= chance <= 1.0, "behaviour.random_chance", chance, "in [0, 1]")
    if config.env.id == AUTO and not isinstance(behaviour, RunBehaviourConfig):
        raise ConfigError("env.id", AUTO, "only behaviour=run knows its environment; env=CHOICE or env.id=ID names one")
    return config


def _require(possible: bool, name: str, value: Any, allowed: str) -> None:
    if not possible:
        raise ConfigError(name, value, allowed)
