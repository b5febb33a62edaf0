"""The groups and their choices as `--help` lists them, found where Hydra finds them: in conf/, and in your own code."""

import textwrap

from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

NAME_WIDTH, LINE_WIDTH = 20, 116
HIDDEN = ("hydra/", "schema/")
"""Beginnings of the names of groups that are not for users of a command."""


def register_listing() -> None:
    """Let help pages say `${choices_of_groups:${hydra.runtime.choices}}`."""
    OmegaConf.register_new_resolver("choices_of_groups", list_groups, replace=True)


def list_groups(chosen: DictConfig) -> str:
    """A paragraph for each group, `*` before its default; `chosen` is the choice of each, None where there is none."""
    return "\n".join(
        _paragraph(str(group), name)
        for group, name in reversed(list(chosen.items()))
        if not str(group).startswith(HIDDEN)
    )


def _paragraph(group: str, chosen: str | None) -> str:
    names = GlobalHydra.instance().config_loader().get_group_options(group)
    marked = sorted(names, key=lambda name: (name != chosen, name))
    listed = ", ".join(f"*{name}" if name == chosen else name for name in marked)
    return textwrap.fill(
        listed, LINE_WIDTH, initial_indent=f"  {group + ':':<{NAME_WIDTH}}", subsequent_indent=" " * (NAME_WIDTH + 2)
    )
