"""A command as `hydra.main` runs it, which composes the configuration once more only to learn whether it is a sweep."""

import argparse
from collections.abc import Sequence

import hydra
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import run_job
from hydra.types import HydraContext, RunMode, TaskFunction

from rql.config.files import composing, configuration_folder

NOT_COMPOSED_HERE = ("cfg", "info", "hydra_help", "shell_completion", "resolve", "config_path", "experimental_rerun")
"""Flags with which a command is `hydra.main`'s."""


def run_application(task: TaskFunction, config_name: str, flags: argparse.Namespace) -> None:
    """Run a task on the configuration that was asked for, or a sweep of it where `-m` or a preset asks for one."""
    if any(getattr(flags, name) for name in NOT_COMPOSED_HERE):
        hydra.main(version_base="1.3", config_path=str(configuration_folder()), config_name=config_name)(task)()
        return
    name = flags.config_name or config_name
    with composing(flags.config_dir, task.__module__.rpartition(".")[2]):
        application = GlobalHydra.instance().hydra
        assert application is not None
        mode = RunMode.MULTIRUN if flags.multirun else None
        if mode is None and _may_sweep(flags.overrides):
            mode = application.get_mode(name, flags.overrides)
        if mode is not RunMode.MULTIRUN:
            composed = application.compose_config(name, flags.overrides, RunMode.RUN, with_log_configuration=True)
            mode = composed.hydra.mode
        if mode is RunMode.MULTIRUN:
            chosen = ["hydra.mode=MULTIRUN"] if flags.multirun else []
            application.multirun(name, task, [*flags.overrides, *chosen])
            return
        callbacks = Callbacks(composed)
        callbacks.on_run_start(config=composed, config_name=name)
        context = HydraContext(application.config_loader, callbacks)
        done = run_job(task, composed, "hydra.run.dir", None, context)
        callbacks.on_run_end(config=composed, config_name=name, job_return=done)
        _ = done.return_value  # raises what the task raised


def _may_sweep(overrides: Sequence[str]) -> bool:
    """Whether an override may have several values, which only a sweep can compose."""
    return any("," in word or "(" in word for word in overrides)
