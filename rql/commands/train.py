"""`rql train`, which is `python run.py`: one run from the configuration to its report, or with -m a sweep."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, cast

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from rql.commands.application import run_application
from rql.commands.shared import answers_help, errors_in_one_sentence, hydra_flags
from rql.config.compose import hydra_config, register_schemas, typed, without_hydra
from rql.config.explain import composition_errors_as_our_own, composition_errors_in_one_sentence, fail
from rql.config.files import composing, configuration_folder
from rql.config.imports import import_named
from rql.config.launchers import SIDE_BY_SIDE, register_launchers
from rql.config.overrides import refuse_impossible_overrides, refuse_moved_paths
from rql.config.schema import Config
from rql.config.validate import validate
from rql.runs.folder import Command, command_of, typed_overrides
from rql.sweep.callback import launcher_errors_in_one_sentence
from rql.sweep.run import run_job
from rql.utils.errors import ConfigError, Preempted, RQLError

FRESH = ("auto", "never")
"""What `resume` says where it is no folder."""


class TrainedRun(NamedTuple):
    """What `train` made."""

    directory: Path
    """The folder of the run."""
    summary: dict[str, Any]
    """The content of its `summary.json`: the last metrics of each stage, such as `online/return`."""


def train(overrides: Sequence[str] = (), directory: str | PathLike[str] | None = None) -> TrainedRun:
    """Train from Python as `rql train OVERRIDES…` does from a shell.

    Args:
        overrides: as on the command line, such as `["env=cartpole", "seed=3"]`.
        directory: where the run is recorded, and goes on if it began there; by default outputs/DATE/TIME.

    Raises:
        RQLError: for whatever the user can put right, in one sentence.
        KeyboardInterrupt: if a signal asks to end, after a checkpoint; the same call and directory go on.
    """
    folders = import_named(overrides, configuration_folder())
    register_schemas(folders)
    refuse_impossible_overrides(overrides, folders)
    try:
        with composition_errors_as_our_own(), composing():
            composed = compose("config", overrides=list(overrides), return_hydra_config=True)
            settings = composed.hydra
            if settings.mode is RunMode.MULTIRUN:
                raise RQLError("train makes one run: a sweep is started with rql train -m, or by a loop in Python")
            output = Path(directory or settings.run.dir).absolute()
            with hydra_config(composed):
                config = _loaded(without_hydra(composed))
            return _run(config, output, command_of(settings))
    except Preempted as stop:
        raise KeyboardInterrupt(str(stop)) from stop


def _loaded(composed: DictConfig) -> Config:
    """The configuration, checked unless it only says what changes of the run of a folder: that is checked with it."""
    config = typed(composed, Config)
    if config.resume in FRESH:
        validate(config)
    return config


def _run(config: Config, output: Path, command: Command) -> TrainedRun:
    """One run in its folder, or in that of the run that it resumes."""
    # --help and a misspelt key need not wait for torch
    if config.jobs.seeds:
        raise ConfigError("jobs.seeds", config.jobs.seeds, "empty in a single run, whose seed is `seed`")
    from rql.runs.resume import resumed
    from rql.runs.run import run

    if config.resume not in FRESH:
        config, output, command = resumed(Path(config.resume), command)
    return TrainedRun(output, run(config, output, command))


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the arguments say; the exit code. Flags such as `--cfg job` are Hydra's."""
    if arguments is not None:
        sys.argv = ["rql train", *arguments]
    with errors_in_one_sentence():
        folders = import_named(sys.argv[1:], configuration_folder())
        register_schemas(folders)
        flags = hydra_flags(sys.argv[1:])
        if answers_help(flags, "config"):
            return 0
        refuse_impossible_overrides(sys.argv[1:], folders)
    register_launchers()
    with composition_errors_in_one_sentence(), launcher_errors_in_one_sentence():
        run_application(_train, "config", flags)
    return 0


def _train(composed: DictConfig) -> float | None:
    """One run, or one job of a sweep; a job's final headline."""
    settings = cast(DictConfig, HydraConfig.get())
    output = Path(settings.runtime.output_dir)
    try:
        refuse_moved_paths(typed_overrides(settings, "task"), Path(settings.runtime.cwd))
        config = _loaded(composed)
        command = command_of(settings)
        if settings.mode is RunMode.MULTIRUN:
            aside = str(settings.launcher._target_).startswith(SIDE_BY_SIDE)
            return run_job(config, output, command, aside)
        if config.resume not in FRESH and not settings.job.chdir:  # nobody stands in it
            with suppress(OSError):
                output.rmdir()
        _run(config, output, command)
    except RQLError as error:
        with suppress(OSError):  # where something is in it, it stays
            output.rmdir()
        fail(str(error))
    return None
