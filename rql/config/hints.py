"""Which key is meant where somebody types one that is not there: by its last name, or as other packages call it."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf

from rql.config.registry import choices

MEANT = {
    "gamma": "discount",
    "lr": "learning_rate",
    "epochs": "updates",
    "num_epochs": "updates",
    "num_steps": "online.env_steps",
    "total_steps": "online.env_steps",
    "total_timesteps": "online.env_steps",
    "max_timesteps": "online.env_steps",
    "polyak": "tau",
    "hidden_dim": "hidden",
    "hidden_dims": "hidden",
    "hidden_sizes": "hidden",
    "n_envs": "num_envs",
    "utd_ratio": "utd",
    "buffer_size": "capacity",
    "env_id": "env.id",
    "env_name": "env.id",
    "eval_episodes": "evaluation.episodes",
    "gpu": "device",
    "cuda": "device",
}
"""How other packages call what has another name here, and the end of the keys that it has."""
ABSENT = object()
MOST = 6
"""More keys than this are no hint."""


def hint(typed: str, composed: DictConfig) -> str:
    """A question to add to a sentence about a key that is not there, " Did you mean q.discount?", or nothing.

    Args:
        typed: the dotted key.
        composed: the whole configuration, whose own keys come before those of choices that it does not have.
    """
    schema = OmegaConf.get_type(composed)
    if not dataclasses.is_dataclass(schema):
        return ""
    section, _, name = typed.rpartition(".")
    ends = {name, MEANT.get(name, name)}
    found = [key for key in dict.fromkeys(keys_of(schema)) if any(f".{key}".endswith(f".{end}") for end in ends)]
    near = [key for key in found if section and key.startswith(f"{section}.")] or found
    near = [key for key in near if OmegaConf.select(composed, key, default=ABSENT) is not ABSENT] or near
    return f" Did you mean {' or '.join(near)}?" if 0 < len(near) <= MOST else ""


def keys_of(schema: type[Any], path: tuple[str, ...] = ()) -> Iterator[str]:
    """The dotted keys of a dataclass, with those of all choices of its groups."""
    for field in dataclasses.fields(schema):
        here = (*path, field.name)
        declared = [field.type] if dataclasses.is_dataclass(field.type) else []
        parts = [*declared, *(choice.schema for choice in choices().get("/".join(here), {}).values())]
        for part in parts:
            assert isinstance(part, type)
            yield from keys_of(part, here)
        if not parts:
            yield ".".join(here)
