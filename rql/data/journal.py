"""Finished episodes on their way to a data set, kept so that whatever cuts a collection off loses none of them.

A journal is a file: a header, then one record an episode, each a length (8 bytes) and that many bytes. The header is
JSON, an episode an .npz archive. Half a record at the end, of a process that was killed, is dropped.
"""

import io
import json
import logging
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock, Timeout
from minari.data_collector.episode_buffer import EpisodeBuffer

from rql.utils.errors import RQLError

LENGTH = struct.Struct("<Q")
COLUMNS = ("actions", "rewards", "terminations", "truncations")

logger = logging.getLogger(__name__)


class Journal:
    """A journal that is open for appending."""

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        """Open the journal `path`, begun with this header now or earlier.

        Raises:
            RQLError: if it was begun with another header, is open elsewhere, or cannot be written.
        """
        self.path, self.header = path, header
        self.episodes, self.steps, self.seeds = 0, 0, set[int]()
        self._lock = FileLock(path.with_name(path.name + ".lock"))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(blocking=False)
        except Timeout as error:
            raise RQLError(f"another process is collecting into {path}") from error
        except OSError as error:
            raise RQLError(f"episodes cannot be kept in {path}: {error}") from error
        try:
            self._file = path.open("r+b" if path.exists() else "x+b", buffering=0)
            self._end = self._read(header)
            if not self._end:
                self._append(json.dumps(header).encode())
        except OSError as error:
            self.close()
            raise RQLError(f"episodes cannot be kept in {path}: {error}") from error
        except RQLError:
            self._close()
            raise

    def append(self, episode: EpisodeBuffer) -> None:
        """Keep a finished episode.

        Raises:
            RQLError: if it cannot be written; those before it stay.
        """
        content = io.BytesIO()
        seed = {} if episode.seed is None else {"seed": np.array(episode.seed)}
        columns = {key: np.asarray(getattr(episode, key)) for key in COLUMNS}
        np.savez(content, **(_leaves("observations", episode.observations) | columns | seed))
        try:
            self._append(content.getvalue())
        except OSError as error:
            raise RQLError(f"an episode cannot be kept in {self.path}: {error}") from error
        self._count(episode)

    def cut(self, episodes: int) -> None:
        """Keep the first so many episodes: those who made the others will make them again.

        Raises:
            RQLError: if there are fewer, or the journal cannot be cut.
        """
        self._file.seek(0)
        ends = [self._file.tell() for _ in _records(self._file)]
        if episodes >= len(ends):
            raise RQLError(f"{self.path} has lost episodes: it holds {len(ends) - 1:,} and not {episodes:,}")
        try:
            self._file.truncate(ends[episodes])
            self._file.seek(0)
            self.episodes, self.steps, self.seeds = 0, 0, set()
            self._end = self._read(self.header)
        except OSError as error:
            raise RQLError(f"{self.path} cannot be cut back: {error}") from error

    def close(self) -> None:
        """Leave the journal where it is, for whoever goes on with it, unless it is empty."""
        if not self.episodes:
            self.path.unlink(missing_ok=True)
        self._close()

    def discard(self) -> None:
        """Delete the journal, whose episodes are safe elsewhere."""
        self.episodes = 0
        self.close()

    def _close(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()
        if not self.path.exists():
            Path(self._lock.lock_file).unlink(missing_ok=True)
        self._lock.release()

    def _append(self, record: bytes) -> None:
        left = memoryview(LENGTH.pack(len(record)) + record)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError:
            self._file.truncate(self._end)
            self._file.seek(self._end)
            raise
        self._end = self._file.tell()

    def _read(self, header: dict[str, Any]) -> int:
        """Count what is there and cut off what is not whole; where the last whole record ends."""
        end = 0
        for index, record in enumerate(_records(self._file)):
            if not index and json.loads(record) != json.loads(json.dumps(header)):
                raise RQLError(_of_another(self.path, json.loads(record), header))
            episode = _episode(record, index - 1) if index else None
            if episode:
                self._count(episode)
            end = self._file.tell()
        self._file.truncate(end)
        self._file.seek(end)
        return end

    def _count(self, episode: EpisodeBuffer) -> None:
        self.episodes += 1
        self.steps += len(episode.rewards)
        if episode.seed is not None:
            self.seeds.add(episode.seed)


def read_header(path: Path) -> dict[str, Any]:
    """The header of a journal.

    Raises:
        RQLError: if the file is no journal, or ends before its header does.
    """
    try:
        with path.open("rb") as file:
            header: dict[str, Any] = json.loads(next(_records(file)))
    except (OSError, ValueError, StopIteration) as error:
        raise RQLError(f"{path} is no journal of episodes: its header cannot be read") from error
    return header


def read_episodes(path: Path) -> Iterator[EpisodeBuffer]:
    """The whole episodes of a journal; a damaged one is left out with a warning."""
    number = 0
    with path.open("rb") as file:
        for index, record in enumerate(_records(file)):
            episode = _episode(record, number) if index else None
            if episode:
                yield episode
                number += 1


def _of_another(path: Path, found: dict[str, Any], wanted: dict[str, Any]) -> str:
    theirs, ours = (header | header.get("metadata", {}) for header in (found, wanted))
    differs = ", ".join(key for key in sorted(theirs | ours) if key != "metadata" and theirs.get(key) != ours.get(key))
    commands = " or ".join(f"`rql data {name} {found.get('id')}`" for name in ("recover", "discard"))
    return f"{path} holds episodes of another collection (it differs in {differs}); {commands} makes way"


def _records(file: BinaryIO) -> Iterator[bytes]:
    size = os.fstat(file.fileno()).st_size
    while len(prefix := file.read(LENGTH.size)) == LENGTH.size:
        (length,) = LENGTH.unpack(prefix)
        if not length or file.tell() + length > size:
            return
        yield file.read(length)


def _episode(record: bytes, index: int) -> EpisodeBuffer | None:
    try:
        with np.load(io.BytesIO(record), allow_pickle=False) as arrays:
            observations = _tree({key: arrays[key] for key in arrays.files if key.split("/")[0] == "observations"})
            columns = {key: arrays[key] for key in COLUMNS}
            seed = int(arrays["seed"]) if "seed" in arrays else None
    except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile, zlib.error) as error:
        logger.warning("episode %d of a journal is damaged and left out: %s", index, error)
        return None
    return EpisodeBuffer(id=index, seed=seed, observations=observations["observations"], **columns)


def _leaves(name: str, tree: Any) -> dict[str, Any]:
    """Named arrays of nested dictionaries and tuples: `name/key`, and `name/#0` in a tuple."""
    if isinstance(tree, dict):
        parts = dict(tree)
    elif isinstance(tree, tuple):
        parts = {f"#{index}": value for index, value in enumerate(tree)}
    else:
        return {name: np.asarray(tree)}
    return {leaf: array for key, part in parts.items() for leaf, array in _leaves(f"{name}/{key}", part).items()}


def _tree(leaves: dict[str, Any]) -> Any:
    """The inverse of `_leaves`."""
    if "" in leaves:
        return leaves[""]
    parts: dict[str, dict[str, Any]] = {}
    for name, array in leaves.items():
        first, _, rest = name.partition("/")
        parts.setdefault(first, {})[rest] = array
    if all(key.startswith("#") for key in parts):
        return tuple(_tree(parts[f"#{index}"]) for index in range(len(parts)))
    return {key: _tree(part) for key, part in parts.items()}
