"""Converted data sets: packed once, then opened in no time by every run that needs them."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import BaseFileLock, FileLock, Timeout
from numpy.typing import NDArray

from rql.config.choices import Unfinished
from rql.data.episodes import Episode, Packer, Source
from rql.data.rows import RowLayout
from rql.data.transitions import Transitions
from rql.envs.spaces import Spaces
from rql.utils.errors import DataError, RQLError

FORMAT = 1
"""Counted up with every change of what is written, so that nothing old is taken for new."""
BLOCK = 4096
"""Steps that are packed at once."""
META, ROWS, TRUNCATED, STARTS = "meta.json", "rows.f32", "truncated.bool", "starts.i64"


@dataclass(frozen=True)
class Entry:
    """A converted data set in its folder."""

    path: Path
    meta: dict[str, Any]


def cache_folder(configured: str | None) -> Path:
    """The folder of the cache, which need not exist."""
    if configured is not None:
        return Path(configured).expanduser()
    user = os.environ.get("XDG_CACHE_HOME")
    return (Path(user) if user else Path.home() / ".cache") / "rql"


def open_cached(source: Source, spaces: Spaces, unfinished: Unfinished, folder: Path) -> Transitions:
    """The data set, memory-mapped; converted first where that has not been done yet.

    Several processes may ask at once: one converts, the others wait for it. Writing to the arrays changes nothing on
    disk.

    Raises:
        DataError: if the source cannot be used.
        RQLError: if the cache cannot be written.
    """
    path = folder / _entry_name(source, spaces, unfinished)
    entry = read_entry(path)
    if entry is None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with _lock(path):
                entry = read_entry(path)
                if entry is None:
                    _convert(source, Packer(source.label, source.flags, spaces, unfinished), path)
                    entry = read_entry(path)
        except OSError as error:
            where = "dataset.cache=FOLDER names another place"
            raise RQLError(
                f"the cache of data set {source.label} cannot be written to {path}: {error}; {where}"
            ) from error
    assert entry is not None
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
    """Delete what is left of conversions that died, of older formats and of damage, unless somebody is at it."""
    for path in {folder / part.name.removeprefix(".").removesuffix(".part") for part in folder.glob("*/")}:
        with suppress(Timeout), _lock(path).acquire(blocking=False):
            for rest in (_part(path), *([] if read_entry(path) else [path])):
                shutil.rmtree(rest, ignore_errors=True)


def _lock(path: Path) -> BaseFileLock:
    return FileLock(path.with_name(f".{path.name}.lock"))


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def _entry_name(source: Source, spaces: Spaces, unfinished: Unfinished) -> str:
    """Readable, and different whenever the content may be."""
    stats = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in source.files]
    identity = json.dumps([FORMAT, _order(RowLayout.of(spaces)), source.name, stats, repr(spaces), unfinished.name])
    readable = "".join(c if c.isalnum() or c in "-." else "_" for c in source.name)
    return f"{readable}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"


def _order(layout: RowLayout) -> list[float]:
    """A row that tells the order of the columns, so that rows of another order are never taken for these."""
    obs, action = np.ones((1, layout.obs_dim), np.float32), np.ones((1, layout.action_width), np.float32)
    one = np.ones(1, np.float32)
    order: list[float] = layout.pack(obs, 2 * action, 3 * one, 4 * obs, 5 * one > 0)[0].tolist()
    return order


def _load(entry: Entry, source: Source) -> Transitions:
    layout = RowLayout(**entry.meta["layout"])
    rows = np.memmap(entry.path / ROWS, dtype=np.float32, mode="c").reshape(-1, layout.width)
    truncated = np.fromfile(entry.path / TRUNCATED, dtype=np.bool_)
    starts = np.fromfile(entry.path / STARTS, dtype=np.int64)
    return Transitions(source.name, layout, rows.view(np.ndarray), truncated, starts, source.reference)


def _convert(source: Source, packer: Packer, path: Path) -> None:
    """Write an entry aside and rename it, so that what bears its name is whole."""
    part = _part(path)
    shutil.rmtree(part, ignore_errors=True)  # of a process that died
    part.mkdir()
    try:
        starts = _write_columns(source, packer, part)
        _write(part / STARTS, starts)
        sizes = {name: (part / name).stat().st_size for name in (ROWS, TRUNCATED, STARTS)}
        meta = {
            "format": FORMAT,
            "name": source.name,
            "source": source.label,
            "file": str(source.files[0].resolve()),
            "transitions": sizes[TRUNCATED],
            "episodes": len(starts),
            "layout": asdict(RowLayout.of(packer.spaces)),
            "sizes": sizes,
        }
        _write(part / META, np.frombuffer(json.dumps(meta, indent=2).encode(), dtype=np.uint8))
        if path.exists():  # damaged, or it would have been opened
            shutil.rmtree(path)
        part.rename(path)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _write_columns(source: Source, packer: Packer, part: Path) -> NDArray[np.int64]:
    """Stream rows and flags to their files; where the episodes start, (E,)."""
    lengths: list[NDArray[np.int64]] = []
    with (part / ROWS).open("wb") as rows_file, (part / TRUNCATED).open("wb") as truncated_file:
        first = 0
        for episodes in _blocks(source.episodes()):
            packed = packer.pack(first, episodes)
            first += len(episodes)
            if packed is not None:
                lengths.append(packed.lengths)
                rows_file.write(packed.rows.tobytes())
                truncated_file.write(packed.truncated.tobytes())
        _sync(rows_file)
        _sync(truncated_file)
    if not lengths:
        raise DataError(f"data set {source.label} holds no transitions")
    ends = np.cumsum(np.concatenate(lengths), dtype=np.int64)
    return np.append(0, ends[:-1])


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
