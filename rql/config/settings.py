"""What a key of the schema says of itself beside its type: its default, its range and its role.

`tau: float = between(0.005, 0, 1)` in a dataclass is a key with all three. The queries are in `rql.config.roles`.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar

T = TypeVar("T")

Check = tuple[str, Any, bool, str]
"""(key, value, whether it can work, what is allowed)."""
WholeConfig = Any
"""The `Config` that a section gets to check itself against the others; its module imports those of all sections."""


class Role(Enum):
    """What a key is for, and so which runs are the same experiment and what may change in the middle of a run."""

    result = "result"
    """It decides what a run finds: another value is another experiment, and it cannot change in the middle of a run."""
    budget = "budget"
    """It decides how far a run goes: another value is another experiment, but a run may go on with it."""
    how = "how"
    """It decides where and how a run works, and what is watched and kept of it: the experiment stays the same."""


@dataclass(frozen=True)
class Range:
    """The values that a key can have."""

    text: str
    """As an error and docs/reference/config.md put it."""
    allows: Callable[[Any], bool]


def setting(default: Any, role: Role | None = None, range: Range | None = None) -> Any:
    """A key.

    Args:
        default: its value where nobody gives one; a list is copied, `MISSING` has to be replaced.
        role: what it is for; None is the role of its section, and outside of any with a role `result`.
        range: what its value can be; where that is a list, each of its elements. None is always possible.
    """
    metadata = {"role": role, "range": range}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def section(schema: type[T], role: Role | None = None) -> T:
    """A section with the defaults of its dataclass; a role is that of all its keys that have none of their own."""
    made: T = field(default_factory=schema, metadata={"role": role})
    return made


def at_least(default: Any, least: float, role: Role | None = None) -> Any:
    """A finite number from `least` on."""
    return setting(default, role, Range(f"at least {least}", lambda value: math.isfinite(value) and value >= least))


def positive(default: Any, role: Role | None = None) -> Any:
    """A finite number above 0."""
    return setting(default, role, Range("a number above 0", lambda value: math.isfinite(value) and value > 0))


def finite(default: Any, role: Role | None = None) -> Any:
    """Any number but infinity and nan."""
    return setting(default, role, Range("a finite number", math.isfinite))


def between(default: Any, low: float, high: float, role: Role | None = None) -> Any:
    """A number in [low, high]."""
    return setting(default, role, Range(f"in [{low}, {high}]", lambda value: low <= value <= high))


def fraction(default: Any, role: Role | None = None) -> Any:
    """A share that is not empty: a number in (0, 1]."""
    return setting(default, role, Range("in (0, 1]", lambda value: 0 < value <= 1))


def inside(default: Any, low: float, high: float, role: Role | None = None) -> Any:
    """A number in (low, high)."""
    return setting(default, role, Range(f"in ({low}, {high})", lambda value: low < value < high))


def length(default: Any, least: int, most: int, without: str = "") -> Any:
    """A text of so many characters, without any of some."""
    allowed = f"{least} to {most} characters" + (f" without {' '.join(without)}" if without else "")
    return setting(default, None, Range(allowed, lambda text: least <= len(text) <= most and not {*text} & {*without}))


def checks_of(config: Any, prefix: str = "") -> Iterator[Check]:
    """Whether each value of a configuration is in its range."""
    for key in dataclasses.fields(config):
        yield from _checks(f"{prefix}{key.name}", getattr(config, key.name), key.metadata.get("range"))


def _checks(name: str, value: Any, range: Range | None) -> Iterator[Check]:
    if dataclasses.is_dataclass(value):
        yield from checks_of(value, f"{name}.")
    elif isinstance(value, list):
        for position, element in enumerate(value):
            yield from _checks(f"{name}[{position}]", element, range)
    elif range is not None and value is not None:
        yield name, value, range.allows(value), range.text
