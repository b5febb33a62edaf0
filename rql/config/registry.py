"""What a configuration group can be set to: for each choice its dataclass, and the code behind it."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Choice:
    """One choice of a group."""

    name: str
    schema: type[Any]
    """The dataclass with its keys; no other choice of the group has the same."""
    implementation: Any
    """The code, or `module:attribute`, which is imported when a run needs it: composing must be fast."""


_groups: dict[str, dict[str, Choice]] = {}


def register(group: str, name: str, implementation: Any = None) -> Callable[[type[T]], type[T]]:
    """Make a dataclass a choice of a group: `@register("beta", "cubic", implementation=schedule)` above it.

    What `implementation` has to be is said by the group; docs/how-to/extending.md lists them.

    Raises:
        ValueError: if the group has a choice of this name, or of this dataclass, from somewhere else.
    """

    def add(schema: type[T]) -> type[T]:
        choices = _groups.setdefault(group, {})
        known = choices.get(name)
        if known is not None and _origin(known.schema) != _origin(schema):
            raise ValueError(f"{group}={name} is {_origin(known.schema)} already")
        choices[name] = Choice(name, schema, implementation)
        return schema

    return add


def choices() -> dict[str, dict[str, Choice]]:
    """All choices by group and name."""
    return _groups


def choice_of(group: str, config: Any) -> Choice:
    """The choice that a part of the configuration is."""
    return next(choice for choice in _groups[group].values() if choice.schema is type(config))


def schema_of(group: str, name: str | None, otherwise: Any) -> Any:
    """The dataclass of a choice by its name; `otherwise` where there is no such group or choice."""
    choice = _groups.get(group, {}).get(name or "")
    return choice.schema if choice else otherwise


def implementation_of(group: str, config: Any) -> Any:
    """The code behind the choice that a part of the configuration is."""
    implementation = choice_of(group, config).implementation
    if not isinstance(implementation, str):
        return implementation
    module, _, attribute = implementation.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _origin(schema: type[Any]) -> str:
    return f"{schema.__module__}.{schema.__qualname__}"
