"""What W&B shows of the keys that distinguish the runs of a sweep."""

from typing import Any

from rql.config.roles import flat
from rql.config.running import NAME_LENGTH, TAG_LENGTH
from rql.runs.folder import Identity, run_label
from rql.utils.text import shortened, written

Plain = dict[str, Any]


def name_of(identity: Identity, config: Plain) -> str:
    """The name of a run: what is swept and the seed, or, of a run by itself, its environment, agent and seed."""
    alone = {"env": config.get("env", {}).get("id"), "agent": identity.choices.get("agent")}
    values = identity.swept or {name: value for name, value in alone.items() if value}
    return shortened(run_label(values | {"seed": config.get("seed")}), NAME_LENGTH)


def tags_of(swept: dict[str, Any]) -> list[str]:
    """`key=value` for each key; what is too long for a tag ends in a digest, so that it stays one of its kind."""
    return [shortened(f"{key}={written(value)}", TAG_LENGTH) for key, value in swept.items()]


def with_swept(config: Plain, swept: dict[str, Any]) -> Plain:
    """The configuration with each key at its top level.

    A key that names a section, as `beta=linear` does, takes its place; the section is then spelt out (`beta.end`, …).
    """
    shown = dict(config)
    for key, value in swept.items():
        if isinstance(config.get(key), dict):
            shown |= flat(config[key], key)
        shown[key] = value
    return shown
