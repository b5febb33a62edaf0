"""`python -m rql.sweep status|retry FOLDER`: what became of the jobs of a sweep, and those that failed once more."""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rql.commands import Parser, errors_in_one_sentence

PROGRAM = Path(__file__).resolve().parents[2] / "run.py"


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say; the exit code."""
    parser = Parser(prog="python -m rql.sweep", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, parser_class=Parser)
    for name, what in (("status", "print the jobs and their returns"), ("retry", "run again the jobs that failed")):
        commands.add_parser(name, help=what).add_argument("folder", type=Path, metavar="FOLDER")
    options = parser.parse_args(arguments)
    with errors_in_one_sentence():
        return _status(options) if options.command == "status" else _retry(options)


def _status(options: argparse.Namespace) -> int:
    from rql.sweep.table import print_sweep

    print_sweep(options.folder)
    return 0


def _retry(options: argparse.Namespace) -> int:
    """Each launch again, for the jobs that it asked for."""
    from rql.sweep.jobs import Status
    from rql.sweep.plan import jobs_of, read_sweep

    sweep = read_sweep(options.folder)
    if not any(job.status is Status.failed for job in jobs_of(options.folder)):
        print("no job has failed")
        return 0
    launches = {(*launch.task, *_without_place(launch.hydra)): launch for launch in sweep.launches}
    codes = []
    for words, launch in launches.items():
        name = [] if launch.config_name == "config" else ["--config-name", launch.config_name]
        again = [word for word in words if not word.startswith("jobs.only_failed=")]
        fixed = ["jobs.only_failed=true", f"hydra.sweep.dir='{options.folder}'"]
        codes.append(subprocess.run([sys.executable, str(PROGRAM), *name, *again, *fixed], check=False).returncode)
    return max(codes)


def _without_place(hydra: list[str]) -> list[str]:
    return [word for word in hydra if not word.startswith("hydra.sweep.dir=")]


if __name__ == "__main__":
    sys.exit(main())
