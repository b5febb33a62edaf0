"""Which keys make an experiment, and which may change in the middle of a run: queries of the roles in the schema.

All take a plain configuration and the choices of its groups, which is what lies in the folder of a run.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from rql.config import agents  # noqa: F401  agents make themselves known
from rql.config.agents.base import METHOD_SECTIONS, AgentConfig
from rql.config.registry import choices, schema_of
from rql.config.schema import Config
from rql.config.settings import Role

Chosen = Mapping[str, str]
"""The choice of each group."""


def experiment(plain: dict[str, Any], chosen: Chosen) -> dict[str, Any]:
    """What decides what a run finds: dotted keys with their values, and the choices of groups that have dataclasses.

    Two runs of equal ones are the same experiment, seed included. Left out is what says how a run works, and what its
    agent does not read.
    """
    everything = flat(plain) | with_schemas(chosen)
    return {key: value for key, value in everything.items() if decides(key, chosen)}


def with_schemas(chosen: Chosen) -> dict[str, str]:
    """The choices of groups that have dataclasses; any other, such as `env` or `budget`, is no more than its values."""
    return {group: name for group, name in chosen.items() if group in choices()}


def decides(key: str, chosen: Chosen) -> bool:
    """Whether a key, or a group, is a part of the experiment."""
    return is_read(key, chosen) and role_of(key, chosen) is not Role.how


def may_change(key: str, chosen: Chosen) -> bool:
    """Whether a run can go on with another value of a key."""
    return not is_read(key, chosen) or role_of(key, chosen) is not Role.result


def is_read(key: str, chosen: Chosen) -> bool:
    """Whether the agent reads a key, or a group; it reads all but some of `METHOD_SECTIONS`."""
    agent = schema_of("agent", chosen.get("agent"), AgentConfig)
    return agent is AgentConfig or reads(agent, _path(key)[0])


def reads(agent: type[AgentConfig], section: str) -> bool:
    """Whether an agent reads a section of the configuration."""
    return section not in METHOD_SECTIONS or section in agent.reads


def role_of(key: str, chosen: Chosen) -> Role:
    """The role of a dotted key, or of a group: its own, or that of the section it lies in."""
    role, schema, group = Role.result, Config, ""
    for name in _path(key):
        fields = {field.name: field for field in dataclasses.fields(schema)} if dataclasses.is_dataclass(schema) else {}
        if name not in fields:
            break
        group = f"{group}/{name}" if group else name
        role = fields[name].metadata.get("role") or role
        schema = schema_of(group, chosen.get(group), fields[name].type)
    return role


def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """The leaves of a plain configuration by their dotted keys; an empty dictionary is a leaf."""
    if not isinstance(tree, dict) or not tree:
        return {prefix: tree}
    parts = ((f"{prefix}.{key}" if prefix else str(key), value) for key, value in tree.items())
    return {path: leaf for name, value in parts for path, leaf in flat(value, name).items()}


def _path(key: str) -> list[str]:
    return key.replace("/", ".").split(".")
