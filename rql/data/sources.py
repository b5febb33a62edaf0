"""From the `dataset` section of the configuration to D_offline and D_bc."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium

from rql.config.schema import DatasetConfig, DemoDatasetConfig, EnvConfig, MinariDatasetConfig
from rql.data.demo import demo_dataset
from rql.data.minari import load_minari, read_minari
from rql.data.transitions import Transitions
from rql.envs.spaces import Spaces

ROOT_VARIABLE = "MINARI_DATASETS_PATH"


def load_datasets(
    config: DatasetConfig, env_config: EnvConfig, view: Spaces, env: gymnasium.Env[Any, Any]
) -> tuple[Transitions, Transitions]:
    """(D_offline, D_bc).

    Raises:
        DataError: if a data set is missing, damaged or made for another environment.
    """
    with _minari_root(config.root):
        offline = _load(config, env_config, view, env)
        demonstrations = load_minari(config.bc.id, config.download, view, env) if config.bc.id else offline
    if config.bc.top_fraction < 1.0:
        demonstrations = demonstrations.best(config.bc.top_fraction)
    return offline, demonstrations


def _load(config: DatasetConfig, env_config: EnvConfig, view: Spaces, env: gymnasium.Env[Any, Any]) -> Transitions:
    match config:
        case DemoDatasetConfig():
            return read_minari(*demo_dataset(env_config, config.episodes, config.seed), view, env)
        case MinariDatasetConfig():
            return load_minari(config.id, config.download, view, env)
        case _:
            raise TypeError(f"no loader for {type(config).__name__}")


@contextmanager
def _minari_root(root: str | None) -> Iterator[None]:
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
