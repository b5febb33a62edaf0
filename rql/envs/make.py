"""Making environments."""

from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from rql.config.choices import Vectorization
from rql.config.schema import EnvConfig
from rql.envs.spaces import Spaces, describe
from rql.errors import ConfigError

AnyVectorEnv = VectorEnv[Any, Any, Any]


def make_env(config: EnvConfig) -> gymnasium.Env[Any, Any]:
    """One environment.

    Raises:
        ConfigError: if there is no such id, a package it needs is missing, or `env.kwargs` do not suit it.
    """
    try:
        return gymnasium.make(config.id, **config.kwargs)
    except gymnasium.error.Error as error:
        raise ConfigError("env.id", config.id, str(error)) from error
    except TypeError as error:
        raise ConfigError("env.kwargs", config.kwargs, str(error)) from error
    except ImportError as error:
        raise ConfigError("env.id", config.id, f"it needs a package that is not installed: {error}") from error


def make_vector_env(config: EnvConfig, count: int, autoreset: AutoresetMode) -> AnyVectorEnv:
    """`count` environments side by side; `autoreset` says what happens where an episode ends."""
    make: list[Callable[[], gymnasium.Env[Any, Any]]] = [partial(make_env, config)] * count
    cls = SyncVectorEnv if config.vectorization is Vectorization.sync else AsyncVectorEnv
    return cls(make, autoreset_mode=autoreset)


def inspect_env(config: EnvConfig) -> tuple[Spaces, gymnasium.Env[Any, Any]]:
    """The agent's view of the environment, and an instance of it for whoever needs to look closer."""
    env = make_env(config)
    return describe(config.id, env.observation_space, env.action_space), env
