"""Finished episodes on their way to a data set, kept so that whatever cuts a collection off loses none of them.

A journal is a file: a header, then one record an episode, each a length (8 bytes) and that many bytes. The header is
JSON, an episode an .npz archive. Half a record at the end, of a process that was killed, is dropped.
"""

import io
import json
import os
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock, Timeout
from minari.data_collector.episode_buffer import EpisodeBuffer

from rql.errors import RQLError

LENGTH = struct.Struct("<Q")
COLUMNS = ("actions", "rewards", "terminations", "truncations")


class Journal:
    """A journal that is open for appending."""

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        """Open the journal `path`, begun with this header now or earlier.

        Raises:
            RQLError: if it was begun with another header, is open elsewhere, or cannot be written.
        """
        self.path, self.episodes, self.steps = path, 0, 0
        self._lock = FileLock(path.with_name(path.name + ".lock"))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(blocking=False)
            whole = self._count(header) if path.exists() else 0
            self._file = path.open("r+b" if path.exists() else "xb")
            self._file.truncate(whole)
            self._file.seek(whole)
            if not whole:
                self._append(json.dumps(header).encode())
        except Timeout as error:
            raise RQLError(f"another process is collecting into {path}") from error
        except OSError as error:
            raise RQLError(f"episodes cannot be kept in {path}: {error}") from error

    def append(self, episode: EpisodeBuffer) -> None:
        """Keep a finished episode.

        Raises:
            RQLError: if it cannot be written.
        """
        content = io.BytesIO()
        seed = {} if episode.seed is None else {"seed": np.array(episode.seed)}
        columns = {key: np.asarray(getattr(episode, key)) for key in COLUMNS}
        arrays = _leaves("observations", episode.observations) | columns | seed
        np.savez(content, **arrays)
        try:
            self._append(content.getvalue())
        except OSError as error:
            raise RQLError(f"an episode cannot be kept in {self.path}: {error}") from error
        self.episodes += 1
        self.steps += len(columns["rewards"])

    def close(self) -> None:
        """Leave the journal where it is, for whoever goes on with it, unless it is empty."""
        if not self.episodes:
            self.path.unlink(missing_ok=True)
        self._file.close()
        self._lock.release()

    def discard(self) -> None:
        """Delete the journal, whose episodes are safe elsewhere."""
        self.path.unlink()
        self.episodes = 0
        self.close()

    def _append(self, record: bytes) -> None:
        self._file.write(LENGTH.pack(len(record)) + record)
        self._file.flush()

    def _count(self, header: dict[str, Any]) -> int:
        """Count what is there; where the last whole record ends."""
        if read_header(self.path) != json.loads(json.dumps(header)):
            raise RQLError(f"{self.path} holds episodes of another collection; `python -m rql.data recover` keeps them")
        position = 0
        with self.path.open("rb") as file:
            for index, record in enumerate(_records(file)):
                position = file.tell()
                if index:
                    self.episodes += 1
                    self.steps += len(_episode(record, index - 1).rewards)
        return position


def read_header(path: Path) -> dict[str, Any]:
    """The header of a journal.

    Raises:
        RQLError: if the file is no journal.
    """
    try:
        with path.open("rb") as file:
            header: dict[str, Any] = json.loads(next(_records(file)))
    except (OSError, ValueError, StopIteration) as error:
        raise RQLError(f"{path} is no journal of episodes: {error!r}") from error
    return header


def read_episodes(path: Path) -> Iterator[EpisodeBuffer]:
    """The whole episodes of a journal."""
    with path.open("rb") as file:
        records = _records(file)
        next(records)
        for index, record in enumerate(records):
            yield _episode(record, index)


def _records(file: BinaryIO) -> Iterator[bytes]:
    size = os.fstat(file.fileno()).st_size
    while len(prefix := file.read(LENGTH.size)) == LENGTH.size:
        (length,) = LENGTH.unpack(prefix)
        if file.tell() + length > size:
            return
        yield file.read(length)


def _episode(record: bytes, index: int) -> EpisodeBuffer:
    try:
        with np.load(io.BytesIO(record), allow_pickle=False) as arrays:
            observations = _tree({key: arrays[key] for key in arrays.files if key.split("/")[0] == "observations"})
            columns = {key: arrays[key] for key in COLUMNS}
            seed = int(arrays["seed"]) if "seed" in arrays else None
    except (ValueError, KeyError, zipfile.BadZipFile) as error:
        raise RQLError(f"episode {index} of the journal is damaged: {error}") from error
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
