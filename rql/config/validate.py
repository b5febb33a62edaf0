"""Values that have the right type and still cannot work."""

import dataclasses
from collections.abc import Iterator
from itertools import chain
from typing import Any

from rql.config.choices import Headline, PolicyClass
from rql.config.registry import choice_of
from rql.config.roles import reads
from rql.config.schema import Config
from rql.config.settings import Check, checks_of
from rql.utils.errors import ConfigError


def validate(config: Config) -> None:
    """Check what can be checked without data, environment or device: ranges, and what depends on several values.

    Raises:
        ConfigError: for the first key that cannot work.
    """
    refuse_impossible(chain(checks_of(config), _of_sections(config), _of_several(config)))


def refuse_impossible(checks: Iterator[Check]) -> None:
    """Raises:
    ConfigError: for the first check that fails; it names the key, the value and what is allowed.
    """
    for key, value, possible, allowed in checks:
        if not possible:
            raise ConfigError(key, value, allowed)


def _of_sections(config: Config) -> Iterator[Check]:
    """The checks that sections, and choices of groups, have in a method `check`."""
    for field in dataclasses.fields(config):
        if reads(type(config.agent), field.name):
            yield from _of_section(getattr(config, field.name), config)


def _of_section(section: Any, config: Config) -> Iterator[Check]:
    if not dataclasses.is_dataclass(section):
        return
    if hasattr(section, "check"):
        yield from section.check(config)
    for field in dataclasses.fields(section):
        yield from _of_section(getattr(section, field.name), config)


def _of_several(config: Config) -> Iterator[Check]:
    """What concerns sections that know nothing of each other."""
    envs, steps = config.env.num_envs, config.online.env_steps
    prior, agent = choice_of("prior", config.prior).name, choice_of("agent", config.agent).name
    given, several = (reads(type(config.agent), section) for section in ("prior", "chunk"))
    yield "prior", prior, prior == "bc" or given, f"bc with agent={agent}, which finetunes its own clone or none"
    length = config.chunk.length
    yield "chunk.length", length, length == 1 or several, f"1 with agent={agent}, which decides on one action at a time"
    if config.policy.name is PolicyClass.uniform:
        yield "bc.updates", config.bc.updates, config.bc.updates == 0, "0, for policy=uniform clones nothing"
    capacity, least = config.replay.capacity, envs * max(1, config.n_step)
    yield "replay.capacity", capacity, capacity >= least, f"at least {least}"
    limit = config.env.kwargs.get("max_episode_steps", 1)
    yield "env.kwargs.max_episode_steps", limit, isinstance(limit, int) and limit > 0, "a whole number above 0"
    often, success = config.online.eval_every, config.online.stop_success
    for key, goal in (("online.stop_return", config.online.stop_return), ("online.stop_success", success)):
        yield "online.eval_every", often, goal is None or often > 0, f"above 0 where {key} is given"
    reported = success is None or config.env.headline is Headline.success
    yield "online.stop_success", success, reported, "null unless env.headline=success"
    replay = config.online.save_replay
    yield "online.save_replay", replay, replay is None or steps > 0, "null where online.env_steps=0"
    if steps:
        yield "env.num_envs", envs, envs <= steps, f"at most online.env_steps={steps}"
        batch = config.batch_size
        first = f"at least batch_size={batch}, what the first update online waits for"
        late = envs if config.online.overlap else 0
        enough = f"{first}, and env.num_envs={envs} more, which come after the last one" if late else first
        yield "online.env_steps", steps, steps >= batch + late or not config.online.utd, enough
        yield "replay.capacity", capacity, capacity >= batch or not config.online.utd, first
