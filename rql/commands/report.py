"""`rql report DIR…`: compare runs from their local records, as a page that opens from the disk."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rql.commands.shared import Parser, errors_in_one_sentence


def main(arguments: Sequence[str] | None = None) -> int:
    """Report; the exit code."""
    options = _parser().parse_args(arguments)
    with errors_in_one_sentence():
        # --help and a wrong argument need not wait for matplotlib
        from rql.reports.report import write_report

        page = write_report(options.directories, options.out or options.directories[0] / "report", options.by)
        print(f"report: {page}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="rql report", description=__doc__)
    directories = "a run's folder, a sweep's, or any folder above such"
    parser.add_argument("directories", type=Path, nargs="+", metavar="DIR", help=directories)
    by = "config keys and groups, such as beta,cql.alpha, that make the arms (default: all that differs)"
    parser.add_argument("--by", type=_names, metavar="KEY,…", help=by)
    out = "a folder for the report, which may hold an earlier one (default: report in the first DIR)"
    parser.add_argument("--out", type=Path, metavar="FOLDER", help=out)
    return parser


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError("it names no key")
    return list(dict.fromkeys(names))
