"""Between Hydra and the dataclasses."""

import dataclasses
from enum import Enum
from typing import Any, TypeVar

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from rql.config import data_schema, schema
from rql.config.validate import validate
from rql.errors import ConfigError

T = TypeVar("T")

GROUP_SCHEMAS: dict[str, dict[str, type[Any]]] = {
    "dataset": {
        "demo": data_schema.DemoDatasetConfig,
        "minari": data_schema.MinariDatasetConfig,
        "d4rl": data_schema.FileDatasetConfig,
        "npz": data_schema.FileDatasetConfig,
        "none": data_schema.NoDatasetConfig,
    },
    "beta": {
        "constant": schema.ConstantBetaConfig,
        "linear": schema.LinearBetaConfig,
        "cosine": schema.CosineBetaConfig,
        "exponential": schema.ExponentialBetaConfig,
        "kl": schema.KLBetaConfig,
    },
    "composition": {"resample": schema.ResampleConfig, "amortized": schema.AmortizedConfig},
}
"""The groups whose choices have fields of their own. `conf/beta/linear.yaml` builds on `schema/beta/linear`."""


def register() -> None:
    """Make the schemas known to Hydra, so that a typo or a wrong type is an error as the configuration is composed."""
    store = ConfigStore.instance()
    store.store(name="schema", node=schema.Config)
    for group, choices in GROUP_SCHEMAS.items():
        for name, node in choices.items():
            store.store(group=f"schema/{group}", name=name, node=node)


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
    """Which choice of each group of `GROUP_SCHEMAS` the configuration has."""
    found: dict[str, str] = {}
    for group, choices in GROUP_SCHEMAS.items():
        found[group] = next(name for name, node in choices.items() if type(getattr(config, group)) is node)
    return found


RETIRED = {"jobs": {"only_failed"}}
"""Keys that older versions wrote, by section: they decide nothing any more."""


def from_plain(plain: dict[str, Any], choices: dict[str, str]) -> schema.Config:
    """The configuration that `to_plain` and `choices_of` described.

    Raises:
        ConfigError: if a value cannot work.
        OmegaConfBaseException: if a key or a type does not fit.
    """
    for section, keys in RETIRED.items():
        if section in plain:
            kept = {key: value for key, value in plain[section].items() if key not in keys}
            plain = plain | {section: kept}
    typed = OmegaConf.structured(schema.Config)
    for group, name in choices.items():
        typed[group] = OmegaConf.structured(GROUP_SCHEMAS[group][name])
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
