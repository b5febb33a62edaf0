"""What W&B shows of the keys that distinguish the runs of a sweep."""

import hashlib
import math
from typing import Any

from rql.config.roles import flat
from rql.config.running import TAG_LENGTH

Plain = dict[str, Any]

DIGEST_LENGTH = 8


def tags_of(swept: dict[str, str]) -> list[str]:
    """`key=value` for each key; what is too long for a tag ends in a digest, so that it stays one of its kind."""
    return [_shortened(f"{key}={value}") for key, value in swept.items()]


def with_swept(config: Plain, swept: dict[str, str]) -> Plain:
    """The configuration with each key at its top level.

    A key that names a section, as `beta=linear` does, takes its place; the section is then spelt out (`beta.end`, …).
    """
    shown = dict(config)
    for key, text in swept.items():
        if isinstance(config.get(key), dict):
            shown |= flat(config[key], key)
        shown[key] = _value(text)
    return shown


def _shortened(tag: str) -> str:
    if len(tag) <= TAG_LENGTH:
        return tag
    digest = hashlib.sha256(tag.encode()).hexdigest()[:DIGEST_LENGTH]
    return f"{tag[: TAG_LENGTH - DIGEST_LENGTH - 1]}~{digest}"


def _value(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    for number in (int, float):
        try:
            value = number(text)
        except ValueError:
            continue
        return value if math.isfinite(value) else text
    return text
