"""Between Hydra and the dataclasses."""

import copy
import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from rql.config import schema
from rql.config.files import configuration_folder
from rql.config.hints import hint
from rql.config.imports import import_known
from rql.config.listing import register_listing
from rql.config.registry import choice_of, choices, schema_of
from rql.config.validate import validate
from rql.utils.errors import ConfigError

T = TypeVar("T")


def register_schemas(folders: Sequence[Path] = ()) -> None:
    """Make the schemas known to Hydra, so that a typo or a wrong type is an error as the configuration is composed.

    Args:
        folders: where YAML files lie beside conf/; a choice that has none has the defaults of its dataclass.
    """
    searched = [configuration_folder(), *folders]
    register_listing()
    _store(None, "schema", schema.Config)
    for group, named in choices().items():
        for name, choice in named.items():
            _store(f"schema/{group}", name, choice.schema)
            if not any((folder / group / f"{name}.yaml").exists() for folder in searched):
                _store(group, name, choice.schema)


def _store(group: str | None, name: str, node: type[Any]) -> None:
    """Store a dataclass, unless it is there already: converting all of them anew is a tenth of a short run."""
    store = ConfigStore.instance()
    place = store.repo
    for part in group.split("/") if group else ():
        place = place.get(part, {})
    known = place.get(f"{name}.yaml")
    if known is None or OmegaConf.get_type(known.node) is not node:
        store.store(group=group, name=name, node=node)


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
        ConfigError: if a value is missing, a key is not known, or a module in `imports` cannot be imported.
    """
    import_known(composed.imports)  # in a process of its own, as jobs of a sweep may be
    missing = OmegaConf.missing_keys(composed)
    if missing:
        raise ConfigError(min(missing), "???", "it has no default and must be given")
    config = OmegaConf.to_object(composed)
    assert isinstance(config, expected)
    added = sorted(_paths(OmegaConf.to_container(composed)) - _paths(to_plain(config)))
    if added:
        value = OmegaConf.select(composed, added[0])
        allowed = f"there is no such key; + adds to env.kwargs alone.{hint(added[0], composed)}"
        raise ConfigError(added[0], value, allowed)
    return config


def recorded_choices(hydra: DictConfig) -> dict[str, str]:
    """The choice of every group that has one, Hydra's own aside; `hydra` is Hydra's part of what was composed."""
    chosen = {str(group): name for group, name in hydra.runtime.choices.items()}
    return {group: str(name) for group, name in sorted(chosen.items()) if name and not group.startswith("hydra/")}


def without_hydra(composed: DictConfig) -> DictConfig:
    """What Hydra composed without its own part."""
    own = copy.deepcopy(composed)
    with read_write(own), open_dict(own):
        del own["hydra"]
    return own


@contextmanager
def hydra_config(composed: DictConfig) -> Iterator[None]:
    """A time in which `${hydra:…}` is what it is in the job that was composed, Hydra's own part included."""
    singleton = HydraConfig.instance()
    before = singleton.cfg
    singleton.set_config(composed)
    try:
        yield
    finally:
        singleton.cfg = before


def choices_of(config: schema.Config) -> dict[str, str]:
    """Which choice of each group with schemas of its own the configuration has."""
    parts = {group: _part(config, group) for group in choices()}
    return {group: choice_of(group, part).name for group, part in parts.items() if part is not None}


def composed_choices(composed: DictConfig) -> dict[str, str]:
    """The same of a configuration that Hydra composed, and that may lack values."""
    parts = {group: OmegaConf.select(composed, group.replace("/", ".")) for group in choices()}
    return {
        group: choice.name
        for group, part in parts.items()
        for choice in choices()[group].values()
        if choice.schema is OmegaConf.get_type(part)
    }


def from_plain(plain: dict[str, Any], chosen: dict[str, str]) -> schema.Config:
    """The configuration that `to_plain` and `choices_of`, or `recorded_choices`, described.

    Raises:
        ConfigError: if a value cannot work.
        OmegaConfBaseException: if a key or a type does not fit.
    """
    import_known(plain.get("imports") or [])
    typed = OmegaConf.structured(schema.Config)
    for group, name in chosen.items():
        if group not in choices():
            continue  # its values are in `plain`
        known = schema_of(group, name, None)
        if known is None:
            raise ConfigError(group, name, "a choice that is registered here; imports=[MODULE] brings your own")
        OmegaConf.update(typed, group.replace("/", "."), OmegaConf.structured(known), merge=False)
    merged = OmegaConf.merge(typed, plain)
    assert isinstance(merged, DictConfig)
    return load(merged)


def _part(config: Any, group: str) -> Any:
    """The part of a configuration that a group chooses, or None where it has none."""
    for name in group.split("/"):
        config = getattr(config, name, None)
    return config


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
