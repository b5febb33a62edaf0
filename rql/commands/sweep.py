"""`rql sweep status|retry FOLDER`: what became of the jobs of a sweep, and those that failed once more."""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rql.commands.shared import Parser, errors_in_one_sentence

COMMANDS = {
    "status": "print the jobs, what became of them, and their returns",
    "retry": "run the jobs that failed once more, as they were, with the launcher of the last launch",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say; the exit code."""
    parser = Parser(prog="rql sweep", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, what in COMMANDS.items():
        command = commands.add_parser(name, help=what, description=what)
        command.add_argument("folder", type=Path, metavar="FOLDER", help="of the sweep, such as multirun/NAME")
    options = parser.parse_args(arguments)
    with errors_in_one_sentence():
        return _status(options) if options.command == "status" else _retry(options)


def _status(options: argparse.Namespace) -> int:
    from rql.sweep.table import print_sweep

    print_sweep(options.folder)
    return 0


def _retry(options: argparse.Namespace) -> int:
    """The failed jobs as they were recorded, with the launcher of the last launch."""
    from rql.sweep.jobs import JobStatus
    from rql.sweep.plan import jobs_of, read_sweep

    last = read_sweep(options.folder).launches[-1]
    failed = [job.id for job in jobs_of(options.folder) if job.status is JobStatus.failed]
    if not failed:
        print("no job has failed")
        return 0
    again = "jobs.again=" + ",".join(f"'{name}'" for name in failed)
    launcher = [word for word in last.hydra if word.startswith(("hydra/launcher=", "hydra.launcher."))]
    place = f"hydra.sweep.dir='{options.folder}'"
    return subprocess.run([sys.executable, "-m", "rql", "train", "-m", again, *launcher, place], check=False).returncode
