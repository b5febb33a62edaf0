"""`python -m rql.data`: which data sets there are, what is in them, and the cache of converted ones."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import minari
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from rql.config.choices import Unfinished
from rql.config.explain import INTERRUPTED, fail
from rql.data.cache import cache_folder, entries, open_cached, remove, sweep
from rql.data.inspect import coverage, problems, view_of
from rql.data.journal import Journal, read_header
from rql.data.minari import dataset_folder
from rql.data.reference_scores import reference_score
from rql.data.sources import minari_root, open_source
from rql.data.writing import finish_set, journal_path
from rql.errors import RQLError

SHOWN_PROBLEMS = 20
console = Console(soft_wrap=True, highlight=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    options = _parser().parse_args(arguments)
    try:
        with minari_root(options.root):
            return int(options.command(options))
    except (RQLError, OSError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m rql.data", description=__doc__)
    parser.set_defaults(root=None, cache=None, env=None)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--root", metavar="FOLDER", help="of the Minari data sets; MINARI_DATASETS_PATH names it too")
    shared.add_argument("--cache", metavar="FOLDER", help="of the converted data sets")
    one = argparse.ArgumentParser(add_help=False)
    one.add_argument("name", help="a Minari id, or the path of a .hdf5 or .npz file")
    one.add_argument("--env", metavar="ID", help="the environment whose spaces it is read with")
    choices = [choice.name for choice in Unfinished]
    one.add_argument("--unfinished", choices=choices, default="refuse", help="as dataset.unfinished of a run")
    for name, command, help, parents in (
        ("list", _list, "local data sets, unfinished collections, the cache", [shared]),
        ("info", _info, "sizes, returns, scores, coverage, problems", [shared, one]),
        ("verify", _verify, "read every episode; exit 1 if one cannot be used", [shared, one]),
    ):
        commands.add_parser(name, help=help, parents=parents).set_defaults(command=command)
    clear = commands.add_parser("clear", help="delete converted data sets, never the originals", parents=[shared])
    clear.add_argument("name", nargs="?", help="only those of this data set")
    clear.set_defaults(command=_clear)
    recover = commands.add_parser("recover", help="make a data set of an unfinished collection", parents=[shared])
    recover.add_argument("name", help="its Minari id")
    recover.set_defaults(command=_recover)
    return parser


def _list(options: argparse.Namespace) -> int:
    root = dataset_folder()
    local = _table(f"data sets in {root}", "id", "episodes", "transitions", "size")
    for id, metadata in sorted(minari.list_local_datasets().items()):
        size = _size(dataset_folder(id))
        local.add_row(id, f"{metadata['total_episodes']:,}", f"{metadata['total_steps']:,}", size)
    console.print(local)
    unfinished = _table("unfinished collections", "id", "size")
    for path in sorted(root.rglob(".*.episodes")):
        unfinished.add_row(_id_of(path), _size(path))
    if unfinished.rows:
        console.print(unfinished)
    folder = cache_folder(options.cache)
    converted = _table(f"converted, in {folder}", "data set", "episodes", "transitions", "size")
    for entry in entries(folder):
        counts = (f"{entry.meta[key]:,}" for key in ("episodes", "transitions"))
        converted.add_row(entry.meta["source"], *counts, _size(entry.path))
    console.print(converted)
    return 0


def _id_of(journal: Path) -> str:
    try:
        return str(read_header(journal)["id"])
    except RQLError:
        return f"{journal} (nothing in it)"


def _info(options: argparse.Namespace) -> int:
    source = open_source(options.name, download=False)
    view = view_of(source, options.env)
    unfinished = Unfinished[options.unfinished]
    found = list(problems(source, view, unfinished))
    _say_problems(found)
    if found:
        return 1
    data = open_cached(source, view, unfinished, cache_folder(options.cache))
    returns, lengths = data.returns(), data.ends - data.starts
    table = _table(source.label, "", "")
    made_in = source.env_spec.id if source.env_spec else options.env or "not said"
    table.add_row("environment", made_in)
    table.add_row("size", f"{sum(file.stat().st_size for file in source.files) / 1e6:,.1f} MB")
    table.add_row("episodes", f"{len(returns):,}, of {_spread(lengths)} steps")
    ended = f"{int(data.terminated.sum()):,} terminated, {int(data.truncated.sum()):,} truncated"
    table.add_row("transitions", f"{len(data):,}; {ended}")
    table.add_row("observations", f"{view.obs_dim} numbers")
    table.add_row("actions", f"{view.action.bounds}")
    table.add_row("rewards", _spread(data.reward))
    table.add_row("returns", _spread(returns))
    reference = source.reference or reference_score(source.name, made_in)
    if reference:
        table.add_row("normalised score", _spread(np.array([reference.score(value) for value in returns])))
    reached = coverage(data, view)
    table.add_row("coverage", f"{reached.action_bins:.0%} of the action bins; {reached.at_bounds:.1%} at a bound")
    table.add_row("constant observations", str(reached.constant_observations))
    console.print(table)
    _histogram(returns)
    return 0


def _verify(options: argparse.Namespace) -> int:
    source = open_source(options.name, download=False)
    found = list(problems(source, view_of(source, options.env), Unfinished[options.unfinished]))
    _say_problems(found)
    return 1 if found else 0


def _clear(options: argparse.Namespace) -> int:
    folder = cache_folder(options.cache)
    chosen = [entry for entry in entries(folder) if _named(options.name, entry.meta)]
    for entry in chosen:
        console.print(f"deleting {entry.path} ({_size(entry.path)})")
        remove(entry)
    if options.name is None:
        sweep(folder)
    elif not chosen:
        raise RQLError(f"{options.name} is not in the cache {folder}")
    return 0


def _named(name: str | None, meta: dict[str, Any]) -> bool:
    """Whether an entry is of this Minari id, or of the file at this path."""
    return name is None or name == meta["name"] or str(Path(name).resolve()) == meta["file"]


def _recover(options: argparse.Namespace) -> int:
    path = journal_path(options.name)
    if not path.exists():
        raise RQLError(f"there is no unfinished collection of {options.name} ({path})")
    journal = Journal(path, read_header(path))
    episodes = journal.episodes
    console.print(f"{options.name}: {episodes:,} episodes in {finish_set(journal)}")
    return 0


def _say_problems(found: list[str]) -> None:
    for problem in found[:SHOWN_PROBLEMS]:
        console.print(problem, markup=False)
    more = f", {len(found) - SHOWN_PROBLEMS:,} of them not shown" if len(found) > SHOWN_PROBLEMS else ""
    console.print(f"problems: {len(found):,}{more}" if found else "problems: none")


def _histogram(returns: NDArray[np.float64]) -> None:
    counts, edges = np.histogram(returns, bins=10)
    table = _table("episodes by return", "from", "to", "", "")
    for count, low, high in zip(counts, edges[:-1], edges[1:], strict=True):
        table.add_row(f"{low:,.1f}", f"{high:,.1f}", "█" * int(np.ceil(40 * count / counts.max())), f"{count:,}")
    console.print(table)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0), show_header=any(columns))
    for column in columns:
        table.add_column(column)
    return table


def _spread(values: NDArray[Any]) -> str:
    return f"{values.mean():,.1f} ± {values.std():,.1f} ({values.min():,.1f} to {values.max():,.1f})"


def _size(path: Path) -> str:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return f"{sum(file.stat().st_size for file in files) / 1e6:,.1f} MB"


if __name__ == "__main__":
    sys.exit(main())
