"""`rql train`, which is `python run.py`: one run from the configuration to its report, or with -m a sweep."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from rql.config.compose import load, register_schemas
from rql.config.explain import composition_errors_in_one_sentence, fail
from rql.config.files import configuration_folder
from rql.config.launchers import SIDE_BY_SIDE, register_launchers
from rql.runs.folder import command_of
from rql.sweep.callback import launcher_errors_in_one_sentence
from rql.sweep.run import run_job
from rql.utils.errors import RQLError


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the arguments say; the exit code. `--help` and `--cfg job` are Hydra's."""
    register_schemas()
    register_launchers()
    if arguments is not None:
        sys.argv = ["rql train", *arguments]
    with composition_errors_in_one_sentence(), launcher_errors_in_one_sentence():
        _train()
    return 0


@hydra.main(version_base="1.3", config_path=str(configuration_folder()), config_name="config")
def _train(composed: DictConfig) -> float | None:
    """One run, or one job of a sweep; a job's final return."""
    settings = HydraConfig.get()
    output = Path(settings.runtime.output_dir)
    try:
        config = load(composed)
        command = command_of(config, settings)
        if settings.mode is RunMode.MULTIRUN:
            aside = str(settings.launcher._target_).startswith(SIDE_BY_SIDE)
            return run_job(config, output, command, aside)
        # --help and a misspelt key need not wait for torch
        from rql.runs.resume import resumed
        from rql.runs.run import run

        if config.resume in ("auto", "never"):
            run(config, output, command)
        else:
            with suppress(OSError):
                output.rmdir()
            run(*resumed(Path(config.resume), command))
    except RQLError as error:
        with suppress(OSError):  # where something is in it, it stays
            output.rmdir()
        fail(str(error))
    return None
