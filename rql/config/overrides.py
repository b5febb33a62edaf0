"""What is typed on a command line and cannot work, where Hydra has no sentence for it."""

import dataclasses
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException

from rql.config.files import configuration_folder
from rql.config.registry import choices
from rql.config.schema import Config
from rql.utils.errors import ConfigError, RQLError


def refuse_impossible_overrides(overrides: Sequence[str], folders: Sequence[Path] = ()) -> None:
    """Refuse what has no key, and a group that is set to something else than the name of a choice.

    Args:
        overrides: as typed; what cannot be parsed is left to Hydra.
        folders: where YAML files lie beside conf/.

    Raises:
        RQLError: for the first of them.
    """
    for text in overrides:
        with suppress(HydraException):
            override = OverridesParser.create().parse_override(text)
            if not override.key_or_group:
                raise RQLError(f"{text} has no key: an override is KEY=VALUE or GROUP=CHOICE")
            _refuse_no_name(override, [configuration_folder(), *folders])


def as_typed(value: Any) -> str:
    """A plain value as an override has it; text is quoted, and keeps its `${…}`."""
    if isinstance(value, str):
        return "'" + value.replace("'", "\\'") + "'"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{as_typed(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return f"[{','.join(map(as_typed, value))}]"
    return json.dumps(value)


def refuse_moved_paths(overrides: Sequence[str], typed_in: Path) -> None:
    """Refuse relative paths that were right where the command was typed, after `hydra.job.chdir=true` moved the job.

    Raises:
        ConfigError: for the first of them.
    """
    for text in overrides:
        key, _, value = text.lstrip("+").partition("=")
        looks_like_a_path = "/" in value or Path(value).suffix
        if looks_like_a_path and "/" not in key and (typed_in / value).exists() and not Path(value).exists():
            allowed = f"{(typed_in / value).absolute()}, for with hydra.job.chdir=true paths start in the run's folder"
            raise ConfigError(key, value, allowed)


def _refuse_no_name(override: Override, folders: Sequence[Path]) -> None:
    group = override.key_or_group
    names = {path.stem for folder in folders for path in (folder / group).glob("*.yaml")} | {*choices().get(group, {})}
    value = override.value()
    of_section = group.split("/")[0] in {field.name for field in dataclasses.fields(Config)}
    if not names or (override.is_delete() and value is None) or not _is_no_name(value, null=not of_section):
        return
    key = group.replace("/", ".")
    allowed = f"one of {', '.join(sorted(names))}; {key}.KEY=VALUE sets one of its keys"
    raise ConfigError(group, str(override.input_line).partition("=")[2], allowed)


def _is_no_name(value: Any, null: bool) -> bool:
    """Whether a value names no choice; `null` says whether the group, such as `experiment`, may have none."""
    if isinstance(value, ChoiceSweep | list):
        return any(_is_no_name(one, null) for one in (value.list if isinstance(value, ChoiceSweep) else value))
    return (value is None and not null) or isinstance(value, bool | int | float | RangeSweep | IntervalSweep)
