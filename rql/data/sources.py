"""From the `dataset` section of the configuration to D_offline and D_bc."""

from typing import Any

import gymnasium

from rql.config.schema import DatasetConfig, DemoDatasetConfig, MinariDatasetConfig
from rql.data.demo import demo_path
from rql.data.minari import load_minari, read_minari
from rql.data.transitions import Transitions
from rql.envs.spaces import Spaces


def load_datasets(config: DatasetConfig, view: Spaces, env: gymnasium.Env[Any, Any]) -> tuple[Transitions, Transitions]:
    """(D_offline, D_bc).

    Raises:
        DataError: if a data set is missing, damaged or made for another environment.
    """
    offline = _load(config, view, env)
    demonstrations = load_minari(config.bc.id, config.download, view, env) if config.bc.id else offline
    if config.bc.top_fraction < 1.0:
        demonstrations = demonstrations.best(config.bc.top_fraction)
    return offline, demonstrations


def _load(config: DatasetConfig, view: Spaces, env: gymnasium.Env[Any, Any]) -> Transitions:
    match config:
        case DemoDatasetConfig():
            assert env.spec is not None
            return read_minari("demo", demo_path(env.spec.id, config.episodes, config.seed), view, env)
        case MinariDatasetConfig():
            return load_minari(config.id, config.download, view, env)
        case _:
            raise TypeError(f"no loader for {type(config).__name__}")
