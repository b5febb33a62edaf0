"""`rql sweep plan OVERRIDES…` and `rql sweep status|retry FOLDER`: what a sweep will do, did, and does once more."""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from rql.commands.shared import Parser, errors_in_one_sentence, hydra_flags
from rql.config.compose import register_schemas
from rql.config.explain import composition_errors_as_our_own
from rql.config.files import composing, configuration_folder
from rql.config.imports import import_named
from rql.config.launchers import register_launchers
from rql.config.overrides import as_typed, refuse_impossible_overrides
from rql.config.roles import flat

PLAN = "check the jobs of a sweep and print them, as `rql train -m` would run them; nothing is run or written"
COMMANDS = {
    "status": "print the jobs, what became of them, and their returns or success rates",
    "retry": "run the jobs that failed once more, as they were, launched like the last time",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say; the exit code."""
    parser = Parser(prog="rql sweep", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    plan = commands.add_parser("plan", help=PLAN, description=PLAN)
    plan.add_argument("overrides", nargs="*", metavar="OVERRIDE", help="or flag, as of rql train -m")
    for name, what in COMMANDS.items():
        command = commands.add_parser(name, help=what, description=what)
        command.add_argument("folder", type=Path, metavar="FOLDER", help="of the sweep, such as multirun/NAME")
    given = list(sys.argv[1:] if arguments is None else arguments)
    with errors_in_one_sentence():
        if given[:1] == ["plan"] and not {"-h", "--help"} & {*given}:
            return _plan(given[1:])  # whose flags are Hydra's
        options = parser.parse_args(given)
        return _status(options) if options.command == "status" else _retry(options)


def _plan(arguments: Sequence[str]) -> int:
    from rql.sweep.plan import plan_of
    from rql.sweep.table import print_plan

    flags = hydra_flags(arguments)
    folders = import_named(arguments, configuration_folder())
    register_schemas(folders)
    refuse_impossible_overrides(flags.overrides, folders)
    register_launchers()
    with composition_errors_as_our_own(), composing(flags.config_dir):
        loader = GlobalHydra.instance().config_loader()
        print_plan(plan_of(loader.load_configuration(flags.config_name or "config", flags.overrides, RunMode.MULTIRUN)))
    return 0


def _status(options: argparse.Namespace) -> int:
    from rql.sweep.table import print_sweep

    print_sweep(options.folder)
    return 0


def _retry(options: argparse.Namespace) -> int:
    """The failed jobs as they were recorded, by the launcher of the last launch, with its values."""
    from rql.sweep.folder import jobs_of, read_sweep
    from rql.sweep.jobs import JobStatus

    last = read_sweep(options.folder).launches[-1]
    failed = [job.id for job in jobs_of(options.folder) if job.status is JobStatus.failed]
    if not failed:
        print("no job has failed")
        return 0
    again = "jobs.again=" + ",".join(f"'{name}'" for name in failed)
    launcher = [f"++hydra.launcher.{key}={as_typed(value)}" for key, value in flat(last.launcher).items() if key]
    own = ["--config-dir", last.config_dir] if last.config_dir else []
    place = f"hydra.sweep.dir={as_typed(str(options.folder))}"
    words = [again, f"hydra/launcher={last.launcher_choice}", *launcher, place, "--config-name", last.config_name, *own]
    return subprocess.run([sys.executable, "-m", "rql", "train", "-m", *words], check=False).returncode
