"""What makes two jobs the same one, and how jobs and sweeps are named."""

import hashlib
import json
import re
from collections.abc import Sequence
from contextlib import suppress
from functools import reduce
from operator import getitem
from typing import Any

from rql.config.compose import choices_of, to_plain
from rql.config.roles import experiment
from rql.config.schema import Config
from rql.runs.folder import run_label
from rql.utils.text import shortened

LENGTH = 10
NAME_BYTES = 120
"""At most, of the readable part of a folder's name."""


def identity(config: Config) -> str:
    """A hash of all that decides what a job finds."""
    return _hash(experiment(to_plain(config), choices_of(config)))


def swept_values(swept: Sequence[str], plain: dict[str, Any], choices: dict[str, str]) -> dict[str, Any]:
    """The values that a job has of the swept keys, and its choices of the swept groups."""
    found: dict[str, Any] = {key: choices[key] for key in swept if key in choices}
    for key in swept:
        with suppress(KeyError, TypeError):  # a key of another choice
            found.setdefault(key, reduce(getitem, key.split("."), plain))
    return {key: found[key] for key in swept if key in found}


def folder_name(values: dict[str, Any], job: str) -> str:
    """The name of a job's folder: `beta-linear+cql.alpha-0.0003+s1-JOB`; no shell and no override has to quote it."""
    words = [re.sub(r"[^\w.+-]+", "_", word.replace("=", "-")).strip("_") for word in run_label(values).split(" ")]
    readable = shortened("+".join(filter(None, words)), NAME_BYTES)
    return f"{readable}-{job}" if readable else job


def sweep_name(base: dict[str, Any], swept: list[str], choice: str | None) -> str:
    """The name of a sweep's folder, which stays as values are added to what is swept, seeds above all.

    Args:
        base: what is the same in all jobs: keys and groups, by `experiment`.
        swept: the swept keys and groups.
        choice: the choice of the group `sweep`, if there is one.
    """
    keys = sorted({*swept, "seed"})
    fixed = {key: value for key, value in base.items() if not is_swept(key, keys)}
    readable = shortened((choice or "+".join(keys)).replace("/", "."), NAME_BYTES)
    return f"{readable}-{_hash(fixed | {'swept': keys})[:6]}"


def is_swept(key: str, swept: list[str]) -> bool:
    """Whether a dotted key, or a group, is swept, or lies in a group that is."""
    path = key.replace("/", ".")
    return any(f"{path}.".startswith(f"{name.replace('/', '.')}.") for name in swept)


def _hash(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:LENGTH]
