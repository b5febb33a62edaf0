"""The replay buffer on disk: an append-only log of rows, so that a checkpoint writes only what is new.

The log is a folder of segments of `SEGMENT` rows. Row number i of the run lies in segment i // SEGMENT. A checkpoint
remembers how many rows there were and a CRC-32 of what each segment held then; later rows do not disturb it.
"""

import os
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rql.utils.errors import DamagedError, RQLError
from rql.utils.files import sync_directory

SEGMENT = 100_000
Rows = NDArray[np.float32]


class ReplayLog:
    """The rows of one run, in the order in which they were made."""

    def __init__(self, directory: Path, width: int) -> None:
        self.directory, self._width = directory, width
        self.rows = 0
        self._checksums: dict[int, int] = {}

    def append(self, rows: Rows) -> None:
        """Write rows (n, width) behind those that are there.

        Raises:
            OSError: if they cannot be written; then the log is as it was.
        """
        done, before = 0, (self.rows, dict(self._checksums))
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            while done < len(rows):
                segment, place = divmod(self.rows, SEGMENT)
                part = np.ascontiguousarray(rows[done : done + SEGMENT - place])
                self._write(segment, place, part.tobytes())
                done, self.rows = done + len(part), self.rows + len(part)
            sync_directory(self.directory)
        except OSError:
            self.rows, self._checksums = before
            raise

    def restart(self) -> None:
        """Delete all rows: the run goes on from a moment when there were none."""
        self.rows, self._checksums = 0, {}
        self._cut()

    def described(self) -> dict[str, Any]:
        """What `read` needs to find and check the rows that are there now."""
        return {"rows": self.rows, "width": self._width, "checksums": dict(self._checksums)}

    def forget_before(self, row: int) -> None:
        """Delete the segments that hold only rows before this one."""
        for path in self.directory.glob("*.rows"):
            if int(path.stem) < row // SEGMENT:
                path.unlink(missing_ok=True)
        self._checksums = {key: value for key, value in self._checksums.items() if key >= row // SEGMENT}

    def read(self, described: dict[str, Any], kept: int) -> Rows:
        """The newest rows (kept, width) of the log as it was described; go on from there.

        Raises:
            DamagedError: if a segment is missing or was changed since.
            RQLError: if it cannot be read.
        """
        rows, checksums = described["rows"], described["checksums"]
        first = rows - kept
        parts = [np.zeros((0, self._width), np.float32)]
        for segment in range(first // SEGMENT, -(-rows // SEGMENT)):
            held = min(rows, (segment + 1) * SEGMENT) - segment * SEGMENT
            content = self._checked(segment, held, checksums.get(segment))
            part = np.frombuffer(content, np.float32).reshape(held, self._width)
            parts.append(part[max(0, first - segment * SEGMENT) :])
        self.rows, self._checksums = rows, dict(checksums)
        self._cut()
        return np.concatenate(parts)

    def _write(self, segment: int, place: int, content: bytes) -> None:
        path, start = self._path(segment), place * self._width * 4
        with path.open("r+b" if path.exists() else "x+b") as file:
            file.seek(start)
            try:
                file.write(content)
                file.truncate()
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                os.truncate(path, start)
                raise
        self._checksums[segment] = zlib.crc32(content, self._checksums.get(segment, 0) if place else 0)

    def _checked(self, segment: int, held: int, checksum: int | None) -> bytes:
        path = self._path(segment)
        try:
            with path.open("rb") as file:
                content = file.read(held * self._width * 4)
        except FileNotFoundError as error:
            raise DamagedError(f"{path} is gone, which held a part of the replay buffer") from error
        except OSError as error:
            raise RQLError(f"the replay buffer cannot be read from {path}: {error.strerror}") from error
        if len(content) != held * self._width * 4 or zlib.crc32(content) != checksum:
            raise DamagedError(f"{path} is damaged: its rows do not match their checksum")
        return content

    def _cut(self) -> None:
        """Delete what was written after the checkpoint that the run goes on from."""
        for path in self.directory.glob("*.rows"):
            if re.fullmatch(r"\d+", path.stem) and int(path.stem) * SEGMENT >= self.rows:
                path.unlink()
        segment, place = divmod(self.rows, SEGMENT)
        if place:
            os.truncate(self._path(segment), place * self._width * 4)

    def _path(self, segment: int) -> Path:
        return self.directory / f"{segment:06d}.rows"
