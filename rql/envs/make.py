"""Making environments."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from rql.config.choices import Vectorization
from rql.config.data import EnvConfig
from rql.envs import two_ways  # noqa: F401  registers itself
from rql.envs.families import import_family, too_new
from rql.envs.goals import GoalSuccess, is_goal_env
from rql.envs.look import look
from rql.envs.ogbench import OGBench, is_ogbench
from rql.envs.spaces import Spaces, describe
from rql.envs.success import OnSuccess, ends_at_success
from rql.utils.errors import ConfigError
from rql.utils.text import said

AnyEnv = gymnasium.Env[Any, Any]
AnyVectorEnv = SyncVectorEnv | AsyncVectorEnv
Wrap = Callable[[AnyEnv], AnyEnv]

FROM_DATASET = "from_dataset"
"""The `env.id` of the environment that the data set was made in."""


def make_env(config: EnvConfig) -> gymnasium.Env[Any, Any]:
    """One environment.

    Raises:
        ConfigError: if there is no such id, a package it needs is missing or too new, or `env.kwargs` do not suit it.
    """
    family = None
    try:
        family = import_family(config.id)
        env = gymnasium.make(config.id, **config.kwargs)
    except ConfigError:
        raise
    except gymnasium.error.UnregisteredEnv as error:
        own = "imports=[MODULE] imports one of your own, which registers it"
        raise ConfigError("env.id", config.id, f"{error} {own}") from error
    except gymnasium.error.Error as error:
        raise ConfigError("env.id", config.id, str(error)) from error
    except TypeError as error:
        raise ConfigError("env.kwargs", config.kwargs, str(error)) from error
    except ImportError as error:
        raise ConfigError("env.id", config.id, f"it needs a package that is not installed: {error}") from error
    except AttributeError as error:  # of MuJoCo, where MUJOCO_GL names what is not installed
        raise ConfigError("env.id", config.id, f"what it needs does not work here: {error}") from error
    except Exception as error:  # whatever an environment raises that was given the wrong arguments
        if hint := too_new(family):
            raise ConfigError("env.id", config.id, f"it failed with {said(error)}; {hint}") from error
        raise ConfigError("env.kwargs", config.kwargs, f"it failed with {said(error)}") from error
    if is_ogbench(env):
        env = OGBench(env)
    env = GoalSuccess(env) if is_goal_env(env) else env
    return OnSuccess(env, config) if ends_at_success(config) else env


def step_limit(config: EnvConfig) -> int | None:
    """Steps after which the environment ends an episode; None where it has no limit, or gymnasium does not know it.

    Raises:
        ConfigError: if a package that it needs is missing.
    """
    import_family(config.id)
    try:
        registered = gymnasium.spec(config.id).max_episode_steps
    except (gymnasium.error.Error, ImportError):  # whoever makes the environment says so
        return None
    limit: int | None = config.kwargs.get("max_episode_steps", registered)
    return limit


def as_it_is(env: AnyEnv) -> AnyEnv:
    """The environment, wrapped in nothing more."""
    return env


def make_vector_env(config: EnvConfig, count: int, autoreset: AutoresetMode, wrap: Wrap = as_it_is) -> AnyVectorEnv:
    """`count` environments side by side, each wrapped; `autoreset` says what happens where an episode ends."""
    make: list[Callable[[], AnyEnv]] = [lambda: wrap(make_env(config))] * count
    cls = SyncVectorEnv if config.vectorization is Vectorization.sync else AsyncVectorEnv
    return cls(make, autoreset_mode=autoreset)


def inspect_env(config: EnvConfig) -> tuple[Spaces, gymnasium.Env[Any, Any]]:
    """The agent's spaces of the environment, and an instance of it for whoever needs to look closer.

    Raises:
        ConfigError: if the spaces do not suit the agent, or the first step fails or gives what it should not.
    """
    env = make_env(config)
    spaces = describe(config.id, env.observation_space, env.action_space, config.obs_keys, config.flatten_images)
    look(config, env, spaces.observation.space)
    return spaces, env


def env_of_spec(spec: EnvSpec, config: EnvConfig) -> EnvConfig:
    """The same configuration for the environment of a specification, whose arguments `config.kwargs` override.

    Of the specification only the id, the arguments and the time limit count: an entry point that comes with data is
    code that comes with data, and is not called.

    Raises:
        ConfigError: if the environment is wrapped in something that gymnasium does not put there by itself.
    """
    if spec.additional_wrappers:
        names = ", ".join(wrapper.name for wrapper in spec.additional_wrappers)
        allowed = f"an environment: that of the data set, {spec.id}, is wrapped in {names}, which is not taken over"
        raise ConfigError("env.id", FROM_DATASET, allowed)
    limit = {} if spec.max_episode_steps is None else {"max_episode_steps": spec.max_episode_steps}
    return replace(config, id=spec.id, kwargs=limit | spec.kwargs | config.kwargs)
