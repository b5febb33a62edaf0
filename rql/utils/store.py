"""Folders of numbered files that are written once, whole or not at all, sealed, and never changed.

Whatever cuts a process off, a file is there or it is not. What refers to a file keeps the digest of its seal, so that
another file of the same name is never taken for it.
"""

import io
import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rql.utils.errors import DamagedError, RQLError
from rql.utils.files import digest_of, remove_half_written, seal, unseal, write_atomically

Arrays = dict[str, NDArray[Any]]
SUFFIX = ".npz"


class Store:
    """A folder of named arrays by number: `000000.npz`, `000001.npz`, …"""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, number: int) -> Path:
        """The file of a number."""
        return self.directory / f"{number:06d}{SUFFIX}"

    def numbers(self) -> list[int]:
        """The numbers that are there, in their order."""
        found = (path.stem for path in self.directory.glob(f"*{SUFFIX}"))
        return sorted(int(stem) for stem in found if re.fullmatch(r"\d+", stem))

    def write(self, number: int, arrays: Mapping[str, Any], durable: bool = True) -> str:
        """Write a file; the digest of its seal. One that is not `durable` may be lost with the power.

        Raises:
            OSError: if it cannot be written; then the folder is as it was.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        np.savez(content, **arrays)
        sealed = seal(content.getvalue())
        write_atomically(self.path(number), sealed, durable)
        return digest_of(sealed)

    def read(self, number: int, digest: str | None = None) -> Arrays:
        """The arrays of a file, and of that file alone where its digest is given.

        Raises:
            DamagedError: if it is missing or is not what was written; with its path.
            RQLError: if it cannot be read.
        """
        path = self.path(number)
        if not path.exists():
            raise DamagedError(f"{path} is gone")
        content = unseal(path, digest)
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                return {key: arrays[key] for key in arrays.files}
        except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile, zlib.error) as error:
            raise DamagedError(f"{path} is damaged: {error}") from error

    def keep(self, numbers: set[int]) -> None:
        """Delete all other files, and what was half written.

        Raises:
            RQLError: if one cannot be deleted.
        """
        try:
            remove_half_written(self.directory)
            for number in self.numbers():
                if number not in numbers:
                    self.path(number).unlink(missing_ok=True)
        except OSError as error:
            raise RQLError(f"{self.directory} cannot be cleared: {error}") from error
