"""What makes two jobs the same one, and where a sweep lies."""

import hashlib
import json
from typing import Any

from rql.config.compose import choices_of, to_plain
from rql.config.schema import Config
from rql.runs.folder import flat

NO_MATTER = ("checkpoint.", "dataset.cache", "dataset.root", "device", "jobs.", "resume", "threads", "tracking.")
"""Keys, and beginnings of keys, that say where and how a job runs and not what it finds."""
LENGTH = 10


def identity(config: Config) -> str:
    """The name of a job: a hash of all that decides what it finds."""
    return _hash(telling(to_plain(config)) | choices_of(config))


def sweep_name(base: dict[str, Any], swept: list[str], choice: str | None) -> str:
    """The name of a sweep's folder, which stays as values are added to what is swept, seeds above all.

    Args:
        base: the plain configuration without the swept overrides.
        swept: the swept keys and groups.
        choice: the choice of the group `sweep`, if there is one.
    """
    keys = sorted({*swept, "seed"})
    fixed = {key: value for key, value in telling(base).items() if not belongs(key, keys)}
    return f"{choice or '+'.join(keys)}-{_hash(fixed | {'swept': keys})[:6]}"


def telling(plain: dict[str, Any]) -> dict[str, Any]:
    """The dotted keys that decide what a job finds, with their values."""
    return {key: value for key, value in flat(plain).items() if not key.startswith(NO_MATTER)}


def belongs(key: str, swept: list[str]) -> bool:
    """Whether a dotted key is swept, or lies in a group that is."""
    return any(key == name or key.startswith(f"{name}.") for name in swept)


def _hash(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:LENGTH]
