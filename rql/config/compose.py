"""Between Hydra and the dataclasses."""

import dataclasses
from enum import Enum
from typing import Any, TypeVar

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from rql.config import agents, schema  # noqa: F401  agents make themselves known
from rql.config.registry import choice_of, choices
from rql.config.validate import validate
from rql.utils.errors import ConfigError

T = TypeVar("T")


def register_schemas() -> None:
    """Make the schemas known to Hydra, so that a typo or a wrong type is an error as the configuration is composed.

    A choice that a user registered needs no file: without one it has the defaults of its dataclass.
    """
    store = ConfigStore.instance()
    store.store(name="schema", node=schema.Config)
    for group, named in choices().items():
        for name, choice in named.items():
            store.store(group=f"schema/{group}", name=name, node=choice.schema)
            if not choice.schema.__module__.startswith("rql."):
                store.store(group=group, name=name, node=choice.schema)


def load(composed: DictConfig) -> schema.Config:
    """The composed configuration as checked dataclasses.

    Raises:
        ConfigError: if a value cannot work; it names the field, the value and what is allowed.
    """
    config = typed(composed, schema.Config)
    validate(config)
    return config


def typed(composed: DictConfig, expected: type[T]) -> T:
    """The composed configuration as dataclasses.

    Raises:
        ConfigError: if a value is missing or a key is not known.
    """
    missing = OmegaConf.missing_keys(composed)
    if missing:
        raise ConfigError(min(missing), "???", "it has no default and must be given")
    config = OmegaConf.to_object(composed)
    assert isinstance(config, expected)
    added = sorted(_paths(OmegaConf.to_container(composed)) - _paths(to_plain(config)))
    if added:
        value = OmegaConf.select(composed, added[0])
        raise ConfigError(added[0], value, "there is no such key; + adds to env.kwargs alone")
    return config


def choices_of(config: schema.Config) -> dict[str, str]:
    """Which choice of each group with schemas of its own the configuration has."""
    return {group: choice_of(group, getattr(config, group)).name for group in choices() if hasattr(config, group)}


def from_plain(plain: dict[str, Any], chosen: dict[str, str]) -> schema.Config:
    """The configuration that `to_plain` and `choices_of` described.

    Raises:
        ConfigError: if a value cannot work.
        OmegaConfBaseException: if a key or a type does not fit.
    """
    typed = OmegaConf.structured(schema.Config)
    for group, name in chosen.items():
        typed[group] = OmegaConf.structured(choices()[group][name].schema)
    merged = OmegaConf.merge(typed, plain)
    assert isinstance(merged, DictConfig)
    return load(merged)


def _paths(tree: Any, prefix: str = "") -> set[str]:
    """The dotted names of all values."""
    if not isinstance(tree, dict) or not tree:
        return {prefix}
    return {path for key, value in tree.items() for path in _paths(value, f"{prefix}.{key}" if prefix else str(key))}


def to_plain(config: Any) -> Any:
    """A configuration as dictionaries, lists and plain values."""
    if dataclasses.is_dataclass(config):
        return {field.name: to_plain(getattr(config, field.name)) for field in dataclasses.fields(config)}
    if isinstance(config, Enum):
        return config.name
    if isinstance(config, dict):
        return {key: to_plain(value) for key, value in config.items()}
    return [to_plain(value) for value in config] if isinstance(config, list) else config
