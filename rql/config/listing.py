"""The groups and their choices as `--help` lists them, found where Hydra finds them: in conf/, and in your own code."""

import textwrap

from hydra._internal.config_repository import ConfigRepository
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from omegaconf import DictConfig, OmegaConf

NAME_WIDTH, LINE_WIDTH = 20, 116
HIDDEN = ("hydra/", "schema/")
"""Beginnings of the names of groups that are not for users of a command."""


def register_listing() -> None:
    """Let help pages say `${choices_of_groups:${hydra.runtime.choices}}`."""
    OmegaConf.register_new_resolver("choices_of_groups", list_groups, replace=True)


def list_groups(chosen: DictConfig) -> str:
    """A paragraph for each group, `*` before its default; `chosen` is the choice of each, None where there is none."""
    repository = ConfigRepository(GlobalHydra.instance().config_loader().get_search_path())
    shown = [str(group) for group in reversed(list(chosen)) if not str(group).startswith(HIDDEN)]
    return "\n".join(
        _paragraph(group, repository.get_group_options(group, ObjectType.CONFIG), chosen[group]) for group in shown
    )


def _paragraph(group: str, names: list[str], default: str | None) -> str:
    marked = [f"*{default}"] if default else []
    listed = ", ".join([*marked, *sorted(name for name in names if name != default)])
    return textwrap.fill(
        listed, LINE_WIDTH, initial_indent=f"  {group + ':':<{NAME_WIDTH}}", subsequent_indent=" " * (NAME_WIDTH + 2)
    )
