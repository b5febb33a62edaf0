"""What each command of `rql data` does."""

import argparse
import sys
from pathlib import Path
from typing import Any

import minari
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from rql.config.choices import OutsideActions, Unfinished
from rql.config.data import EnvConfig
from rql.data.cache import cache_folder, entries, open_cached, remove, remove_leftovers
from rql.data.convert import Reading
from rql.data.episodes import Source
from rql.data.inspect import coverage, problems, spaces_of
from rql.data.journal import Journal, read_header
from rql.data.load import open_source
from rql.data.reference_scores import reference_score
from rql.data.sources.minari import dataset_folder, journal_path
from rql.data.writing import finish_set
from rql.envs.make import step_limit
from rql.utils.errors import RQLError

SHOWN_PROBLEMS = 20
UNCHECKED = "none in the file itself; --env ID checks it against the spaces and the time limit of an environment"
console = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else 200)


def list_all(options: argparse.Namespace) -> int:
    """Print the local data sets, the unfinished collections and the cache."""
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
    converted = _table(f"converted, in {folder}", "data set", "episodes", "transitions", "size", "entry")
    for entry in entries(folder):
        counts = (f"{entry.meta[key]:,}" for key in ("episodes", "transitions"))
        converted.add_row(entry.meta["source"], *counts, _size(entry.path), entry.path.name)
    if converted.rows:
        console.print(converted)
    return 0


def _id_of(journal: Path) -> str:
    try:
        return str(read_header(journal)["id"])
    except RQLError:
        return f"{journal} (nothing in it)"


def info(options: argparse.Namespace) -> int:
    """Print what is in a data set; 1 if it has problems."""
    source, reading = _opened(options)
    spaces = reading.spaces
    found = list(problems(source, reading))
    if found:
        _say_problems(found)
        return 1
    checked = source.spaces is not None or options.env is not None
    data = open_cached(source, reading, cache_folder(options.cache))
    returns, lengths = data.returns(), data.ends - data.starts
    table = _table(source.label, "", "")
    made_in = source.env_spec.id if source.env_spec else options.env or "not said"
    table.add_row("environment", made_in)
    table.add_row("size", _bytes(sum(file.stat().st_size for file in source.files)))
    table.add_row(
        "episodes", f"{len(returns):,}, of {lengths.mean():,.1f} steps ({lengths.min():,} to {lengths.max():,})"
    )
    ended = f"{int(data.terminated.sum()):,} terminated, {int(data.truncated.sum()):,} truncated"
    table.add_row("transitions", f"{len(data):,}; {ended}")
    table.add_row("observations", f"{spaces.obs_dim} numbers")
    table.add_row("actions", spaces.action.bounds if checked else "not said; --env ID names the environment")
    table.add_row("rewards", _spread(data.reward))
    table.add_row("returns", _spread(returns))
    reference = source.reference or reference_score(source.name, made_in)
    if reference:
        table.add_row("normalised score", _spread(np.array([reference.score(value) for value in returns])))
    reached = coverage(data, spaces)
    if checked:
        table.add_row("coverage", f"{reached.action_bins:.0%} of the action bins; {reached.at_bounds:.1%} at a bound")
    table.add_row("constant observations", str(reached.constant_observations))
    table.add_row("problems", "none" if checked else UNCHECKED)
    console.print(table)
    if returns.min() < returns.max():
        _histogram(returns)
    return 0


def verify(options: argparse.Namespace) -> int:
    """Print the problems of a data set; 1 if it has any."""
    source, reading = _opened(options)
    found = list(problems(source, reading))
    _say_problems(found)
    if source.spaces is None and options.env is None:
        console.print(UNCHECKED)
    return 1 if found else 0


def _opened(options: argparse.Namespace) -> tuple[Source, Reading]:
    """The data set that is named, and how it is to be read."""
    limit = step_limit(EnvConfig(id=options.env)) if options.env else None
    source = open_source(options.name, False, limit)
    how = Unfinished[options.unfinished], OutsideActions[options.actions], limit
    return source, Reading(spaces_of(source, options.env), *how)


def clear(options: argparse.Namespace) -> int:
    """Delete converted data sets."""
    folder = cache_folder(options.cache)
    chosen = [entry for entry in entries(folder) if _named(options.name, entry.meta)]
    for entry in chosen:
        console.print(f"deleting {entry.path} ({_size(entry.path)})")
        remove(entry)
    if options.name is None:
        remove_leftovers(folder)
    elif not chosen:
        raise RQLError(f"{options.name} is not in the cache {folder}")
    if not chosen:
        console.print(f"there is nothing in {folder}")
    return 0


def _named(name: str | None, meta: dict[str, Any]) -> bool:
    """Whether an entry is of this Minari id, or of the file at this path."""
    return name is None or name == meta["name"] or str(Path(name).resolve()) == meta["file"]


def recover(options: argparse.Namespace) -> int:
    """Make a data set of an unfinished collection."""
    journal = _unfinished(options.name)
    episodes = journal.episodes
    console.print(f"{options.name}: {episodes:,} episodes in {finish_set(journal)}")
    return 0


def discard(options: argparse.Namespace) -> int:
    """Delete an unfinished collection."""
    journal = _unfinished(options.name)
    console.print(f"deleting {journal.path} with {journal.episodes:,} episodes")
    journal.discard()
    return 0


def _unfinished(id: str) -> Journal:
    path = journal_path(id)
    if not path.exists():
        raise RQLError(f"there is no unfinished collection of {id} ({path})")
    return Journal(path, read_header(path))


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
    return _bytes(sum(file.stat().st_size for file in files))


def _bytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:,.1f} kB"


COMMANDS = {
    "list": list_all,
    "info": info,
    "verify": verify,
    "clear": clear,
    "recover": recover,
    "discard": discard,
}
