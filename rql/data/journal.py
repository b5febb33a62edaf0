"""Finished episodes on their way to a data set, kept so that whatever cuts a collection off loses none of them.

A journal is a folder: `header.json` says what the data set is to be, and each file after it holds an episode.
"""

import json
import logging
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from minari.data_collector.episode_buffer import EpisodeBuffer

from rql.utils.errors import DamagedError, RQLError
from rql.utils.files import remove_half_written, write_atomically
from rql.utils.store import Arrays, Store
from rql.utils.tree import named_leaves, tree_of

HEADER = "header.json"
OBSERVATIONS, SEED, SUCCESS = "observations", "seed", "success"
COLUMNS = ("actions", "rewards", "terminations", "truncations")

logger = logging.getLogger(__name__)


class Journal:
    """A journal that is open for appending."""

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        """Open the journal in the folder `path`, begun with this header now or earlier.

        Raises:
            RQLError: if it was begun with another header, is open elsewhere, or cannot be written.
        """
        self.path, self.header = path, header
        self._store, self._next = Store(path), 0
        self._held: dict[int, tuple[int, int | None]] = {}
        """Steps and seed of each episode, by the number of its file."""
        self._lock = FileLock(path.with_name(path.name + ".lock"))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(blocking=False)
        except Timeout as error:
            raise RQLError(f"another process is collecting into {path}") from error
        except OSError as error:
            raise RQLError(f"episodes cannot be kept in {path}: {error}") from error
        try:
            self._open()
        except OSError as error:
            self.close()
            raise RQLError(f"episodes cannot be kept in {path}: {error}") from error
        except RQLError:
            self._release()
            raise

    @property
    def episodes(self) -> int:
        """Episodes that are kept."""
        return len(self._held)

    @property
    def steps(self) -> int:
        """Steps of all episodes."""
        return sum(steps for steps, _ in self._held.values())

    @property
    def seeds(self) -> set[int]:
        """The seeds of the episodes that have one."""
        return {seed for _, seed in self._held.values() if seed is not None}

    @property
    def size(self) -> int:
        """Bytes that they take."""
        return sum(self._store.path(number).stat().st_size for number in self._held)

    def append(self, episode: EpisodeBuffer) -> None:
        """Keep a finished episode.

        Raises:
            RQLError: if it cannot be written; those before it stay.
        """
        number = self._next
        seed = {} if episode.seed is None else {SEED: np.array(episode.seed)}
        leaves = {OBSERVATIONS + name: np.asarray(leaf) for name, leaf in named_leaves(episode.observations).items()}
        columns = {key: np.asarray(getattr(episode, key)) for key in COLUMNS}
        success = {} if episode.infos is None else {SUCCESS: np.asarray(episode.infos[SUCCESS])[1:]}
        try:
            self._store.write(number, leaves | columns | seed | success, durable=False)
        except OSError as error:
            raise RQLError(f"an episode cannot be kept in {self.path}: {error}") from error
        self._count(number, episode)

    def cut(self, episodes: int) -> None:
        """Keep the first so many episodes: those who made the others will make them again.

        Raises:
            RQLError: if there are fewer, or the others cannot be deleted.
        """
        if episodes > len(self._held):
            raise RQLError(f"{self.path} has lost episodes: it holds {len(self._held):,} and not {episodes:,}")
        kept = dict(list(self._held.items())[:episodes])
        self._store.keep(set(kept))
        self._held, self._next = kept, max(kept, default=-1) + 1

    def close(self) -> None:
        """Leave the journal where it is, for whoever goes on with it, unless it is empty."""
        if not self._held:
            shutil.rmtree(self.path, ignore_errors=True)
        self._release()

    def discard(self) -> None:
        """Delete the journal, whose episodes are safe elsewhere."""
        self._held = {}
        self.close()

    def _open(self) -> None:
        """Begin the folder, or count what is there."""
        self.path.mkdir(exist_ok=True)
        remove_half_written(self.path)
        if (self.path / HEADER).exists():
            found = read_header(self.path)
            if found != json.loads(json.dumps(self.header)):
                raise RQLError(_of_another(self.path, found, self.header))
        else:
            write_atomically(self.path / HEADER, json.dumps(self.header, indent=2).encode())
        for number, episode in _numbered(self._store):
            self._count(number, episode)
        self._next = max(self._store.numbers(), default=-1) + 1

    def _release(self) -> None:
        if not self.path.exists():
            Path(self._lock.lock_file).unlink(missing_ok=True)
        self._lock.release()

    def _count(self, number: int, episode: EpisodeBuffer) -> None:
        self._held[number] = len(episode.rewards), episode.seed
        self._next = number + 1


def read_header(path: Path) -> dict[str, Any]:
    """The header of a journal.

    Raises:
        RQLError: if the folder is no journal.
    """
    try:
        header: dict[str, Any] = json.loads((path / HEADER).read_bytes())
    except (OSError, ValueError) as error:
        raise RQLError(f"{path} is no journal of episodes: its header cannot be read") from error
    return header


def read_episodes(path: Path) -> Iterator[EpisodeBuffer]:
    """The episodes of a journal; a damaged one is left out with a warning."""
    for index, (_, episode) in enumerate(_numbered(Store(path))):
        yield replace(episode, id=index)


def infos_of(success: Any) -> dict[str, Any]:
    """The infos of an episode that says whether each step (T,) succeeded; Minari has an entry for the reset too."""
    return {SUCCESS: np.concatenate([[False], np.asarray(success, dtype=np.bool_)])}


def _of_another(path: Path, found: dict[str, Any], wanted: dict[str, Any]) -> str:
    theirs, ours = (header | header.get("metadata", {}) for header in (found, wanted))
    differs = ", ".join(key for key in sorted(theirs | ours) if key != "metadata" and theirs.get(key) != ours.get(key))
    commands = " or ".join(f"`rql data {name} {found.get('id')}`" for name in ("recover", "discard"))
    return f"{path} holds episodes of another collection (it differs in {differs}); {commands} makes way"


def _numbered(store: Store) -> Iterator[tuple[int, EpisodeBuffer]]:
    """The episodes that are whole, with the numbers of their files."""
    for number in store.numbers():
        try:
            yield number, _episode(store.read(number))
        except (DamagedError, KeyError) as error:
            logger.warning("an episode of a journal is damaged and left out: %s", error)


def _episode(arrays: Arrays) -> EpisodeBuffer:
    seed = int(arrays[SEED]) if SEED in arrays else None
    leaves = {key.removeprefix(OBSERVATIONS): arrays[key] for key in arrays if key.startswith(OBSERVATIONS)}
    infos = infos_of(arrays[SUCCESS]) if SUCCESS in arrays else None
    columns = {key: arrays[key] for key in COLUMNS}
    return EpisodeBuffer(seed=seed, observations=tree_of(leaves), infos=infos, **columns)
