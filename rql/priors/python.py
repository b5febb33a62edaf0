"""Policies that code of the user's own makes."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium

from rql.config.priors import PythonPriorConfig
from rql.envs.spaces import Spaces
from rql.priors.base import Prior, PriorError, nothing
from rql.priors.files import one_action
from rql.utils.errors import ConfigError


def open_python(config: PythonPriorConfig, spaces: Spaces, env: gymnasium.Env[Any, Any]) -> Prior:
    """The prior of `prior=python`.

    What `prior.target` makes is an object with `sample(obs, n, rng, slots)` as `Prior` has it, and, where it has them,
    `reset(slots)`, `stochastic`, `stateful` (true with a `reset`), `chunk` and `digest`; or it is a function from
    observations (B, obs_dim) to actions of the environment (B, …), or to chunks of h of them (B, h, …).

    Raises:
        ConfigError: if it is not trusted, cannot be imported or does not make that.
    """
    if not config.trusted:
        raise ConfigError("prior.trusted", False, f"true, once you know that the code of {config.target} is safe")
    make = _imported(config.target)
    try:
        policy = make(**config.kwargs)
    except Exception as error:  # whatever the user's own code raises
        raise ConfigError("prior.target", config.target, f"it raised {type(error).__name__}: {error}") from error
    digest = str(getattr(policy, "digest", ""))
    if hasattr(policy, "sample"):
        reset = getattr(policy, "reset", None)
        return Prior(
            name=config.target,
            digest=digest,
            sample=_guarded(config.target, policy.sample),
            reset=_guarded(config.target, reset) if reset else nothing,
            stochastic=bool(getattr(policy, "stochastic", False)),
            stateful=bool(getattr(policy, "stateful", reset is not None)),
            chunk=_chunk_of(config.target, policy),
        )
    if callable(policy):
        return one_action(config.target, digest, _guarded(config.target, policy), spaces, env)
    allowed = f"it makes a {type(policy).__name__}, where a function or an object with `sample` is needed"
    raise ConfigError("prior.target", config.target, allowed)


def _imported(target: str) -> Callable[..., Any]:
    module, colon, attribute = target.partition(":")
    if not colon:
        raise ConfigError("prior.target", target, "package.module:make")
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # whatever the user's own code raises
        raise ConfigError("prior.target", target, f"{type(error).__name__}: {error}") from error
    return found


def _chunk_of(target: str, policy: Any) -> int:
    chunk = getattr(policy, "chunk", 1)
    if not isinstance(chunk, int) or chunk < 1:
        raise ConfigError("prior.target", target, f"its chunk is {chunk!r}, where a number from 1 on is needed")
    return chunk


def _guarded(target: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, whatever it raises being a sentence."""

    def call(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception as error:  # whatever the user's own code raises
            raise PriorError(f"the policy of {target} raised {type(error).__name__}: {error}") from error

    return call
