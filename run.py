"""The entry point: compose the configuration, build, run. `python run.py --help` says how to use it."""

from contextlib import suppress
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from rql.config.compose import load, register
from rql.config.explain import composition_errors_in_one_sentence, fail
from rql.config.launchers import SIDE_BY_SIDE, register_launchers
from rql.errors import RQLError
from rql.sweep.callback import launcher_errors_in_one_sentence
from rql.sweep.run import run_job
from rql.tracking.folder import command_of

CONFIGURATION = Path(__file__).resolve().parent / "conf"

register()
register_launchers()


@hydra.main(version_base="1.3", config_path=str(CONFIGURATION), config_name="config")
def main(composed: DictConfig) -> float | None:
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
        from rql.experiment import run
        from rql.resume import resumed

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


if __name__ == "__main__":
    with composition_errors_in_one_sentence(), launcher_errors_in_one_sentence():
        main()
