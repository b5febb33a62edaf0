"""`python -m rql.config.document > docs/reference/config.md`: every key of the configuration, from the schema."""

import ast
import dataclasses
import inspect
import textwrap
import types
import typing
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Any

from omegaconf import MISSING

from rql.config.agents.base import METHOD_SECTIONS
from rql.config.collect import BehaviourConfig, CollectConfig
from rql.config.registry import choices
from rql.config.roles import reads
from rql.config.schema import Config
from rql.config.settings import Role

HEAD = """\
# Every key of the configuration

Written by `python -m rql.config.document > docs/reference/config.md` from the dataclasses in `rql/config/`.

The defaults are those of the schema; a dash means that the choices in `conf/` give the value, or that you have to.
`--cfg job` prints what a command line comes to. The role of a key says which runs are the same experiment:

| role | meaning |
|---|---|
"""
COLUMNS = "| key | type | default | range | role | meaning |\n|---|---|---|---|---|---|"


def document() -> str:
    """The page."""
    roles = [f"| {role.value} | {meaning} |" for role, meaning in _meanings(Role).items() if isinstance(role, Role)]
    parts = [HEAD + "\n".join(roles), "## A run", *_sections(Config)]
    parts += ["## `rql collect`", "What `rql collect` has of its own; `env` and `dataset` are as above."]
    parts += [_table(_rows(CollectConfig, "", None, deep=False))]
    parts += [
        "### behaviour",
        _first_paragraph(BehaviourConfig),
        *_of_choices("behaviour", BehaviourConfig, Role.result),
    ]
    return "\n\n".join(parts) + "\n"


def _sections(config: type[Any]) -> Iterator[str]:
    yield _table(_rows(config, "", Role.result, deep=False))
    for field in dataclasses.fields(config):
        if not dataclasses.is_dataclass(field.type):
            continue
        assert isinstance(field.type, type)
        role = field.metadata.get("role") or Role.result
        yield f"### {field.name}"
        yield " ".join(filter(None, [_first_paragraph(field.type), _readers(field.name)]))
        if rows := list(_rows(field.type, f"{field.name}.", role)):
            yield _table(rows)
        for group in choices():
            if group.split("/")[0] == field.name:
                yield from _of_choices(group, _declared(field.type, group.split("/")[1:]), role)


def _of_choices(group: str, base: type[Any], role: Role | None) -> Iterator[str]:
    """What each choice adds to the keys that all have."""
    prefix = f"{group.replace('/', '.')}."
    common = set(_rows(base, prefix, role))
    for name, choice in choices()[group].items():
        if not choice.schema.__module__.startswith("rql."):
            continue
        yield f"`{group}={name}`: {_first_paragraph(choice.schema)}"
        if choice.schema is not base and (
            own := [row for row in _rows(choice.schema, prefix, role) if row not in common]
        ):
            yield _table(own)


def _declared(schema: type[Any], path: list[str]) -> type[Any]:
    """The class that a section is declared to have, further in."""
    for name in path:
        schema = typing.get_type_hints(schema)[name]
    return schema


def _readers(section: str) -> str:
    if section not in METHOD_SECTIONS:
        return ""
    agents = [f"`agent={name}`" for name, choice in choices()["agent"].items() if reads(choice.schema, section)]
    return f"Read by {', '.join(agents)}."


def _table(rows: Iterable[str]) -> str:
    return "\n".join([COLUMNS, *rows])


def _rows(schema: type[Any], prefix: str, role: Role | None, deep: bool = True) -> Iterator[str]:
    """The row of each key in the table, and with `deep` those of the sections further in."""
    meanings = _meanings(schema)
    for field in dataclasses.fields(schema):
        own = field.metadata.get("role") or role
        if dataclasses.is_dataclass(field.type):
            if deep:
                assert isinstance(field.type, type)
                yield from _rows(field.type, f"{prefix}{field.name}.", own)
            continue
        name, allowed = f"{prefix}{field.name}", field.metadata.get("range")
        cells = (
            f"`{name}`",
            _type(field.type),
            _default(field),
            allowed.text if allowed else "",
            own.value if own else "",
            meanings.get(field.name, ""),
        )
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
        if element := _element(field.type):
            yield from _rows(element, f"{name}[i].", own)


def _element(kind: Any) -> type[Any] | None:
    """The class of the elements of a list of sections."""
    inner = typing.get_args(kind)[0] if typing.get_origin(kind) is list else None
    return inner if dataclasses.is_dataclass(inner) and isinstance(inner, type) else None


def _type(kind: Any) -> str:
    if _element(kind):
        return "list of sections"
    if isinstance(kind, types.UnionType):
        return " or ".join("null" if part is types.NoneType else _type(part) for part in typing.get_args(kind))
    if typing.get_origin(kind) is list:
        return f"list of {_type(typing.get_args(kind)[0])}"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return ", ".join(f"`{member.name}`" for member in kind)
    return "mapping" if typing.get_origin(kind) is dict else str(kind.__name__)


def _default(field: dataclasses.Field[Any]) -> str:
    made = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
    if made is dataclasses.MISSING or made == MISSING:
        return "–"
    if made is None or isinstance(made, bool):
        return f"`{'null' if made is None else str(made).lower()}`"
    return f"`{made.name if isinstance(made, Enum) else made}`"


def _meanings(schema: type[Any]) -> dict[Any, str]:
    """The docstring under each field of a class, and under those of the classes that it extends."""
    found: dict[Any, str] = {}
    for parent in reversed([one for one in schema.__mro__ if one.__module__.startswith("rql.")]):
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(parent))).body
        assert isinstance(node, ast.ClassDef)
        for field, text in zip(node.body, node.body[1:], strict=False):
            if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                name = _name(field)
                found[Role[name] if schema is Role and name else name] = " ".join(str(text.value.value).split())
    return found


def _name(field: ast.stmt) -> str:
    if isinstance(field, ast.Assign):
        (target,) = field.targets
    else:
        target = field.target if isinstance(field, ast.AnnAssign) else ast.Constant(None)
    return target.id if isinstance(target, ast.Name) else ""


def _first_paragraph(schema: type[Any]) -> str:
    return " ".join((inspect.getdoc(schema) or "").split("\n\n")[0].split())


if __name__ == "__main__":
    print(document(), end="")
