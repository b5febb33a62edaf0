"""Converted data sets: converted once, then opened in no time by every run that needs them.

An entry is a folder with a file for each column, the lengths of the episodes, and what is said of them.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import BaseFileLock, FileLock, Timeout
from numpy.typing import NDArray

from rql.data.columns import NEXT_OBS, Columns, Field, continues, fields_of, lay_out
from rql.data.convert import Converter, Reading
from rql.data.episodes import Episode, Source
from rql.data.transitions import Transitions
from rql.utils.errors import DataError, RQLError
from rql.utils.files import user_cache
from rql.utils.text import shortened

logger = logging.getLogger(__name__)
FORMAT = 3
"""Counted up with every change of what is written, so that nothing old is taken for new."""
NAME_BYTES = 160
"""At most, of the readable part of an entry's name, to which locks and parts add theirs."""
BLOCK = 4096
"""Steps that are converted at once."""
PROPOSALS_SUFFIX = ".proposals"
"""Of files with what a prior proposed, which are made again as converted data sets are."""
META, LENGTHS, COLUMN = "meta.json", "lengths.i64", ".column"
"""Files of an entry; the last is the suffix of those of its columns."""


@dataclass(frozen=True)
class Entry:
    """A converted data set in its folder."""

    path: Path
    meta: dict[str, Any]


def cache_folder(configured: str | None) -> Path:
    """The folder of the cache, which need not exist."""
    if configured is not None:
        return Path(configured).expanduser()
    return user_cache("rql")


def open_cached(source: Source, reading: Reading, folder: Path) -> Transitions:
    """The data set, memory-mapped; converted first where that has not been done yet.

    Several processes may ask at once: one converts, the others wait for it. Writing to the arrays changes nothing on
    disk.

    Raises:
        DataError: if the source cannot be used.
        RQLError: if the cache cannot be written.
    """
    path = folder / _entry_name(source, reading)
    entry = read_entry(path)
    if entry is None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with _lock(path):
                entry = read_entry(path)
                if entry is None:
                    _convert(source, Converter(source, reading), path)
                    entry = read_entry(path)
        except OSError as error:
            where = "dataset.cache=FOLDER names another place"
            raise RQLError(
                f"the cache of data set {source.label} cannot be written to {path}: {error}; {where}"
            ) from error
    assert entry is not None
    if clipped := entry.meta["clipped"]:
        share = f"{clipped:,} of {entry.meta['transitions']:,}"
        logger.warning("data set %s: dataset.actions=clip clipped the actions of %s steps", source.label, share)
    return _load(entry, source)


def read_entry(path: Path) -> Entry | None:
    """What lies in a folder of the cache, or None where that is not a whole data set of the present format."""
    try:
        meta = json.loads((path / META).read_text())
        whole = meta["format"] == FORMAT and all(
            (path / name).stat().st_size == size for name, size in meta["sizes"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return Entry(path, meta) if whole else None


def entries(folder: Path) -> Iterator[Entry]:
    """All converted data sets."""
    for path in sorted(folder.glob("[!.]*/")):
        entry = read_entry(path)
        if entry is not None:
            yield entry


def remove(entry: Entry) -> None:
    """Delete a converted data set, once nobody is converting it; those who have it open keep it."""
    with _lock(entry.path):
        shutil.rmtree(entry.path, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Delete what priors proposed, and what is left of conversions that died, of older formats and of damage, unless
    somebody is at it.
    """
    for proposed in folder.glob(f"*{PROPOSALS_SUFFIX}"):
        proposed.unlink(missing_ok=True)
    for path in {folder / part.name.removeprefix(".").removesuffix(".part") for part in folder.glob("*/")}:
        with suppress(Timeout), _lock(path).acquire(blocking=False):
            for rest in (_part(path), *([] if read_entry(path) else [path])):
                shutil.rmtree(rest, ignore_errors=True)


def _lock(path: Path) -> BaseFileLock:
    return FileLock(path.with_name(f".{path.name}.lock"))


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def _entry_name(source: Source, reading: Reading) -> str:
    """Readable, and different whenever the content may be."""
    stats = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in source.files]
    identity = json.dumps([FORMAT, source.name, stats, repr(reading)])
    readable = "".join(c if c.isalnum() or c in "-." else "_" for c in source.name)
    return f"{shortened(readable, NAME_BYTES)}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"


def _load(entry: Entry, source: Source) -> Transitions:
    columns = {}
    for name, (shape, dtype) in entry.meta["fields"].items():
        column = np.memmap(entry.path / f"{name}{COLUMN}", dtype=dtype, mode="c").reshape(-1, *shape)
        columns[name] = column.view(np.ndarray)
    lengths = np.fromfile(entry.path / LENGTHS, dtype=np.int64)
    return Transitions(source.name, columns, lengths, source.reference)


def _convert(source: Source, converter: Converter, path: Path) -> None:
    """Write an entry aside and rename it, so that what bears its name is whole."""
    part = _part(path)
    shutil.rmtree(part, ignore_errors=True)  # of a process that died
    part.mkdir()
    try:
        lengths, fields, clipped = _write_columns(source, converter, part)
        _write(part / LENGTHS, lengths)
        meta = {
            "format": FORMAT,
            "name": source.name,
            "source": source.label,
            "file": str(source.files[0].resolve()),
            "transitions": int(lengths.sum()),
            "episodes": len(lengths),
            "clipped": clipped,
            "fields": {name: [field.shape, field.dtype.str] for name, field in fields.items()},
            "sizes": {file.name: file.stat().st_size for file in part.iterdir()},
        }
        _write(part / META, np.frombuffer(json.dumps(meta, indent=2).encode(), dtype=np.uint8))
        if path.exists():  # damaged, or it would have been opened
            shutil.rmtree(path)
        part.rename(path)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _write_columns(source: Source, converter: Converter, part: Path) -> tuple[NDArray[np.int64], dict[str, Field], int]:
    """Stream the columns to their files; the lengths of the episodes (E,), the fields, and the actions clipped."""
    lengths: list[NDArray[np.int64]] = []
    clipped, first, fields, needless = 0, 0, dict[str, Field](), True
    with ExitStack() as stack:
        files: dict[str, BinaryIO] = {}
        for episodes in _blocks(source.episodes()):
            converted = converter.convert(first, episodes)
            first += len(episodes)
            if converted is None:
                continue
            columns = lay_out(converted.steps, converted.lengths)
            if not files:
                fields = fields_of(columns)
                files = {name: stack.enter_context((part / f"{name}{COLUMN}").open("wb")) for name in fields}
            needless = needless and continues(columns, converted.lengths)
            lengths.append(converted.lengths)
            clipped += converted.clipped
            _append(source.label, files, fields, columns)
        for file in files.values():
            _sync(file)
    if not lengths:
        raise DataError(f"data set {source.label} holds no transitions")
    if needless:
        (part / f"{NEXT_OBS}{COLUMN}").unlink()
        del fields[NEXT_OBS]
    return np.concatenate(lengths), fields, clipped


def _append(label: str, files: dict[str, BinaryIO], fields: dict[str, Field], columns: Columns) -> None:
    """Write columns in the dtype of the first ones."""
    for name, (shape, dtype) in fields.items():
        column = columns.get(name)
        if column is None or column.shape[1:] != shape or column.dtype.kind != dtype.kind:
            raise DataError(f"data set {label}: {name} of some episodes is of another shape or type than before")
        files[name].write(np.ascontiguousarray(column, dtype=dtype).data)


def _blocks(episodes: Iterator[Episode]) -> Iterator[list[Episode]]:
    """Consecutive episodes of some `BLOCK` steps together."""
    block, steps = list[Episode](), 0
    for episode in episodes:
        block.append(episode)
        steps += len(episode.rewards)
        if steps >= BLOCK:
            yield block
            block, steps = [], 0
    if block:
        yield block


def _write(path: Path, content: NDArray[Any]) -> None:
    with path.open("wb") as file:
        file.write(content.tobytes())
        _sync(file)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
