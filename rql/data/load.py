"""From the `dataset` section of the configuration to D_offline and D_bc."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium

from rql.config.data import DatasetConfig, EnvConfig, NoDatasetConfig
from rql.config.registry import implementation_of
from rql.data.cache import cache_folder, open_cached
from rql.data.convert import Reading
from rql.data.episodes import Source
from rql.data.relabel import Relabelling
from rql.data.sources.d4rl import SUFFIXES, FlatSource
from rql.data.sources.minari import check_spaces, open_minari
from rql.data.transitions import Transitions, mix, subset
from rql.envs.make import FROM_DATASET, env_of_spec, step_limit
from rql.envs.spaces import Spaces
from rql.envs.success import pays_itself
from rql.utils.errors import ConfigError

logger = logging.getLogger(__name__)
ROOT_VARIABLE = "MINARI_DATASETS_PATH"


def load_datasets(
    config: DatasetConfig, env_config: EnvConfig, spaces: Spaces, env: gymnasium.Env[Any, Any]
) -> tuple[Transitions, Transitions] | None:
    """(D_offline, D_bc), or None where there is no data set.

    Raises:
        DataError: if a data set is missing, damaged or made for another environment.
    """
    if isinstance(config, NoDatasetConfig):
        return None

    limit = step_limit(env_config)
    relabelling = Relabelling.of(env_config, config.success)
    reading = Reading(spaces, config.unfinished, config.actions, limit, relabelling)

    def load(source: Source) -> Transitions:
        if source.spaces is not None:
            check_spaces(f"data set {source.label}", source.spaces, (env.observation_space, env.action_space))
        data = open_cached(source, reading, cache_folder(config.cache))
        if limit is not None and data.lengths.max() > limit:
            lasts = f"lasts {data.lengths.max():,} steps, and {env_config.id} ends one after {limit:,}"
            logger.warning("data set %s: an episode %s: their returns are not alike", source.label, lasts)
        return data

    def further(name: str) -> Transitions:
        return load(open_source(name, config.download, limit, pays_itself(env_config)))

    with minari_root(config.root):
        main = subset(load(_main_source(config, env_config)), config.keep)
        parts = [subset(further(part.source), part) for part in config.mix]
        offline = mix([main, *parts], [1.0, *(part.weight for part in config.mix)])
        cloned = further(config.bc.source) if config.bc.source else offline
    return offline, subset(cloned, config.bc)


def open_source(name: str, download: bool, step_limit: int | None = None, with_rewards: bool = True) -> Source:
    """A data set by the path of its file, or by its Minari id; of a file as `FlatSource` takes it.

    Raises:
        DataError: if it is not there or cannot be read.
    """
    if Path(name).suffix in SUFFIXES:
        return FlatSource(Path(name).expanduser(), step_limit, with_rewards)
    return open_minari(name, download)


def resolve_env(dataset: DatasetConfig, env: EnvConfig) -> EnvConfig:
    """The environment of a run: the one that the data set was made in where `env.id` is `from_dataset`.

    Raises:
        ConfigError: if the data set does not say which that is.
    """
    if env.id != FROM_DATASET:
        return env
    with minari_root(dataset.root):
        source = _main_source(dataset, env)
    if source.env_spec is None:
        raise ConfigError("env.id", env.id, f"an environment, for data set {source.label} does not say which it has")
    return env_of_spec(source.env_spec, env)


def _main_source(config: DatasetConfig, env_config: EnvConfig) -> Source:
    source: Source = implementation_of("dataset", config)(config, env_config)
    return source


@contextmanager
def minari_root(root: str | None) -> Iterator[None]:
    """Minari takes its folder from the environment alone, also for what it fetches."""
    before = os.environ.get(ROOT_VARIABLE)
    if root is not None:
        os.environ[ROOT_VARIABLE] = root
    try:
        yield
    finally:
        if before is not None:
            os.environ[ROOT_VARIABLE] = before
        else:
            os.environ.pop(ROOT_VARIABLE, None)
