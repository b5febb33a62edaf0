"""`rql data`: which data sets there are, what is in them, and the cache of converted ones."""

import argparse
from collections.abc import Sequence

from rql.commands.shared import Parser, errors_in_one_sentence
from rql.config.choices import OutsideActions, Unfinished


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    options = _parser().parse_args(arguments)
    # --help and a wrong argument need not wait for minari
    from rql.commands.datasets import COMMANDS
    from rql.data.load import minari_root

    with errors_in_one_sentence(), minari_root(options.root):
        return COMMANDS[options.command](options)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="rql data", description=__doc__)
    parser.set_defaults(root=None, cache=None, env=None)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    shared = Parser(add_help=False)
    shared.add_argument("--root", metavar="FOLDER", help="of the Minari data sets; MINARI_DATASETS_PATH names it too")
    shared.add_argument("--cache", metavar="FOLDER", help="of the converted data sets")
    one = Parser(add_help=False)
    one.add_argument("name", help="a Minari id, or the path of a .hdf5 or .npz file")
    one.add_argument("--env", metavar="ID", help="the environment whose spaces it is read with")
    choices = [choice.name for choice in Unfinished]
    one.add_argument("--unfinished", choices=choices, default="refuse", help="as dataset.unfinished of a run")
    choices = [choice.name for choice in OutsideActions]
    one.add_argument("--actions", choices=choices, default="refuse", help="as dataset.actions of a run")
    for name, help, parents in (
        ("list", "local data sets, unfinished collections, the cache", [shared]),
        ("info", "sizes, returns, scores, coverage, problems", [shared, one]),
        ("verify", "read every episode; exit 1 if one cannot be used", [shared, one]),
    ):
        commands.add_parser(name, help=help, description=help, parents=parents)
    what = "delete converted data sets, never the originals"
    clear = commands.add_parser("clear", help=what, description=what, parents=[shared])
    clear.add_argument("name", nargs="?", help="only those of this data set")
    for name, help in (
        ("recover", "make a data set of an unfinished collection"),
        ("discard", "delete an unfinished collection"),
    ):
        unfinished = commands.add_parser(name, help=help, description=help, parents=[shared])
        unfinished.add_argument("name", help="its Minari id")
    return parser
