"""Files that are there whole or not at all, and which version of the code wrote them."""

import os
import subprocess
from pathlib import Path

from rql import __version__


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file aside and rename it.

    Raises:
        OSError: if it cannot be written; then nothing is left behind, and what was there before stays.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with part.open("wb") as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            part.unlink()
            raise


def code_version() -> str:
    """The version of this package, with the commit where it runs from a checkout: `0.1.0+g1a2b3c4`."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        commit = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return __version__
    return f"{__version__}+g{commit}"
