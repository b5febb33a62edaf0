"""One look at an environment before any work: whether it gives what its spaces, and gymnasium's interface, promise."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces as gym_spaces
from numpy.typing import NDArray

from rql.config.choices import Headline
from rql.config.data import EnvConfig
from rql.envs.goals import SUCCESS_KEYS
from rql.envs.precision import lost
from rql.utils.errors import ConfigError
from rql.utils.text import said

FURTHER_STEPS = 200
"""Until an environment is refused whose first two observations float32 does not tell apart."""
LONGEST = 10_000
"""Steps of an episode after which nobody waits any longer for a word on success."""
SHOWN = 60
"""Characters of a value in a message."""


def look(config: EnvConfig, env: gymnasium.Env[Any, Any], seen: gym_spaces.Space[Any]) -> None:
    """Begin an episode and make a step; `seen` is the space of what the agent sees.

    Where success is the headline and that step says nothing of it, a whole episode is played.

    Raises:
        ConfigError: if that fails, a value is not what it should be, or there is no success; it names the environment
            and what it gave.
    """
    try:
        first, told = env.reset(seed=0)
        obs, reward, terminated, truncated, info = env.step(env.action_space.sample())
    except ConfigError:
        raise
    except Exception as error:  # whatever an environment raises that was given the wrong arguments
        allowed = f"the first step of {config.id} failed with {said(error)}"
        raise ConfigError("env.kwargs", config.kwargs, allowed) from error
    for what, value, wanted in (
        *_wrong_observations("first observation", seen, first),
        *_wrong_observations("observation", seen, obs),
        *_wrong_outcomes(reward, {"terminated": terminated, "truncated": truncated}),
        *_wrong_infos({"reset": told, "step": info}),
    ):
        raise ConfigError("env.id", config.id, f"its {what} is {_shown(value)}, where {wanted} is needed")
    if loss := _lost(seen, [first, obs]) and _lost(seen, [first, obs, *_more(env)]):
        raise ConfigError("env.id", config.id, f"its observations lose what they say: {loss}")
    if config.headline is Headline.success and not _reports(info) and _is_silent(env):
        raise no_success(config)


def no_success(config: EnvConfig) -> ConfigError:
    """What is wrong with a headline that the environment does not report."""
    allowed = f"return, for in a whole episode {config.id} has neither {' nor '.join(SUCCESS_KEYS)} in info"
    return ConfigError("env.headline", config.headline.name, f"{allowed}, where a failure has to be reported as False")


def _reports(info: Mapping[str, Any]) -> bool:
    return any(key in info for key in SUCCESS_KEYS)


def _is_silent(env: gymnasium.Env[Any, Any]) -> bool:
    """Whether an episode comes to its end without a word on success."""
    with suppress(Exception):  # what fails later is met by who restarts it
        env.reset(seed=0)
        for _ in range(LONGEST):
            _obs, _reward, terminated, truncated, info = env.step(env.action_space.sample())
            if _reports(info):
                return False
            if terminated or truncated:
                return True
    return False


def _lost(space: gym_spaces.Space[Any], observations: list[Any]) -> str | None:
    """What float32 loses of some observations, or None."""
    several = zip(*(_boxes(space, obs) for obs in observations), strict=True)
    return next(filter(None, (lost(np.stack(box)) for box in several)), None)


def _more(env: gymnasium.Env[Any, Any]) -> Iterator[Any]:
    """Further observations of the episode: what changes little in a step, such as a clock, may do so in many."""
    with suppress(Exception):  # what fails later is met by who restarts it
        for _ in range(FURTHER_STEPS):
            obs, _reward, terminated, truncated, _info = env.step(env.action_space.sample())
            yield obs
            if terminated or truncated:
                return


Wrong = Iterator[tuple[str, Any, str]]
"""(What it is, what was given, what is needed)."""


def _wrong_observations(name: str, space: gym_spaces.Space[Any], obs: Any) -> Wrong:
    if isinstance(space, gym_spaces.Dict | gym_spaces.Tuple):
        yield from _wrong_parts(name, space, obs)
        return
    if not isinstance(space.shape, tuple):
        return  # of no numbers; whether the agent needs it is said elsewhere
    given = np.asarray(obs)
    if given.dtype.kind not in "biuf" or given.shape != space.shape:
        yield name, obs, f"{space.shape} numbers" if space.shape else "a number"
    elif not np.isfinite(given).all():
        yield name, obs, "a finite number everywhere"
    elif isinstance(space, gym_spaces.Box) and np.issubdtype(space.dtype, np.floating):
        return  # rounding is what the agent sees anyway, and bounds are often a guess
    elif not np.array_equal(given, given.astype(space.dtype)):
        yield name, obs, f"what {space} can hold"
    elif not isinstance(space, gym_spaces.Box) and given not in space and given.astype(space.dtype) not in space:
        yield name, obs, f"an element of {space}"


def _wrong_parts(name: str, space: gym_spaces.Dict | gym_spaces.Tuple[Any], obs: Any) -> Wrong:
    if isinstance(space, gym_spaces.Dict):
        if not isinstance(obs, Mapping) or not space.spaces.keys() <= obs.keys():
            yield name, obs, f"a dictionary with {', '.join(space.spaces)}"
            return
        parts = [(key, part, obs[key]) for key, part in space.spaces.items()]
    else:
        if not isinstance(obs, tuple) or len(obs) != len(space.spaces):
            yield name, obs, f"a tuple of {len(space.spaces)}"
            return
        parts = [(str(index), part, obs[index]) for index, part in enumerate(space.spaces)]
    for key, part, value in parts:
        yield from _wrong_observations(f"{name} {key}", part, value)


def _boxes(space: gym_spaces.Space[Any], obs: Any) -> Iterator[NDArray[Any]]:
    if isinstance(space, gym_spaces.Dict):
        for key, part in space.spaces.items():
            yield from _boxes(part, obs[key])
    elif isinstance(space, gym_spaces.Tuple):
        for index, part in enumerate(space.spaces):
            yield from _boxes(part, obs[index])
    elif isinstance(space, gym_spaces.Box):
        yield np.asarray(obs)


def _wrong_outcomes(reward: Any, flags: Mapping[str, Any]) -> Wrong:
    if np.shape(reward) or np.asarray(reward).dtype.kind not in "biuf" or not np.isfinite(reward):
        yield "reward", reward, "a finite number"
    for name, flag in flags.items():
        if not _is_flag(flag):
            yield name, flag, "True or False"


def _wrong_infos(infos: Mapping[str, Any]) -> Wrong:
    for after, info in infos.items():
        if not isinstance(info, dict):
            yield f"info after a {after}", info, "a dictionary"
            continue
        for key in SUCCESS_KEYS:
            if key in info and not _is_flag(info[key]):
                yield f"info[{key!r}] after a {after}", info[key], "True or False"


def _is_flag(value: Any) -> bool:
    given = np.asarray(value)
    return given.shape == () and given.dtype.kind in "biuf" and bool(0 <= given <= 1)


def _shown(value: Any) -> str:
    text = " ".join(repr(value).split())
    kind = f" of shape {value.shape} and dtype {value.dtype}" if isinstance(value, np.ndarray) else ""
    return (text if len(text) <= SHOWN else f"{text[:SHOWN]}…") + kind
