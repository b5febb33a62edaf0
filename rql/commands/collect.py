"""`rql collect`: roll out a policy and keep its episodes as a Minari data set; `--help` says how."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from rql.commands.application import run_application
from rql.commands.shared import answers_help, errors_in_one_sentence, hydra_flags
from rql.config.collect import load_collect, register_collect
from rql.config.explain import composition_errors_in_one_sentence, fail
from rql.config.files import configuration_folder
from rql.config.imports import import_named
from rql.config.overrides import refuse_impossible_overrides, refuse_moved_paths
from rql.runs.folder import typed_overrides
from rql.utils.errors import RQLError


def main(arguments: Sequence[str] | None = None) -> int:
    """Collect as the arguments say; the exit code. Flags such as `--cfg job` are Hydra's."""
    if arguments is not None:
        sys.argv = ["rql collect", *arguments]
    with errors_in_one_sentence():
        folders = import_named(sys.argv[1:], configuration_folder())
        register_collect(folders)
        flags = hydra_flags(sys.argv[1:])
        if answers_help(flags, "collect"):
            return 0
        refuse_impossible_overrides(sys.argv[1:], folders)
    with composition_errors_in_one_sentence():
        run_application(_collect, "collect", flags)
    return 0


def _collect(composed: DictConfig) -> None:
    """One collection."""
    settings = cast(DictConfig, HydraConfig.get())
    try:
        refuse_moved_paths(typed_overrides(settings, "task"), Path(settings.runtime.cwd))
        config = load_collect(composed)
        # --help and a misspelt key need not wait for torch
        from rql.collect.session import run

        run(config)
    except RQLError as error:
        fail(str(error))
