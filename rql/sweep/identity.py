"""What makes two jobs the same one, and where a sweep lies."""

import hashlib
import json
from typing import Any

from rql.config.compose import choices_of, to_plain
from rql.config.roles import experiment
from rql.config.schema import Config

LENGTH = 10


def identity(config: Config) -> str:
    """The name of a job: a hash of all that decides what it finds."""
    return _hash(experiment(to_plain(config), choices_of(config)))


def sweep_name(base: dict[str, Any], swept: list[str], choice: str | None) -> str:
    """The name of a sweep's folder, which stays as values are added to what is swept, seeds above all.

    Args:
        base: what is the same in all jobs: keys and groups, by `experiment`.
        swept: the swept keys and groups.
        choice: the choice of the group `sweep`, if there is one.
    """
    keys = sorted({*swept, "seed"})
    fixed = {key: value for key, value in base.items() if not is_swept(key, keys)}
    return f"{choice or '+'.join(keys)}-{_hash(fixed | {'swept': keys})[:6]}"


def is_swept(key: str, swept: list[str]) -> bool:
    """Whether a dotted key, or a group, is swept, or lies in a group that is."""
    path = key.replace("/", ".")
    return any(f"{path}.".startswith(f"{name.replace('/', '.')}.") for name in swept)


def _hash(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:LENGTH]
