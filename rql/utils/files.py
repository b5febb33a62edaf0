"""Files that are there whole or not at all, and which version of the code wrote them."""

import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from rql import __version__
from rql.utils.errors import DamagedError, RQLError

CHECKPOINTS = "checkpoints"
"""The folder of a run's whole states, in its own folder."""

T = TypeVar("T")

MAGIC = b"RQL sealed file "
VERSION = 1


def user_cache(name: str) -> Path:
    """A folder of what can be made again, which need not exist."""
    user = os.environ.get("XDG_CACHE_HOME")
    return (Path(user) if user else Path.home() / ".cache") / name


def write_atomically(path: Path, content: bytes, durable: bool = True) -> None:
    """Write a file aside, make sure that it is on the disk unless it need not be `durable`, and rename it.

    Raises:
        OSError: if it cannot be written; then nothing is left behind, and what was there before stays.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    if durable:
        sync_directory(path.parent)


def read_json(path: Path, build: Callable[[Any], T], what: str) -> T:
    """What `build` makes of the JSON in a file.

    Raises:
        RQLError: that begins with `what`, if the file cannot be read, or does not have what `build` needs.
    """
    try:
        return build(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RQLError(f"{what}: {path} cannot be read") from error


def remove_half_written(directory: Path) -> None:
    """Delete what `write_atomically` had not finished when its process was killed; nobody may be writing there now."""
    for part in directory.glob(".*.*"):
        if part.is_file() and part.suffix[1:].isdigit():
            part.unlink()


def sync_directory(path: Path) -> None:
    """Make sure that the names in a directory are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def seal(content: bytes) -> bytes:
    """The content behind a line with a version and one with the SHA-256 of both, for `unseal` to check."""
    return MAGIC + f"{VERSION}\n{_digest(b'%d' % VERSION, content)}\n".encode() + content


def digest_of(sealed: bytes) -> str:
    """The SHA-256 of what was sealed, as the seal says it."""
    return sealed[: len(MAGIC) + 80].split(b"\n")[1].decode()


def unseal(path: Path, digest: str | None = None) -> bytes:
    """What was sealed in a file, with this digest if one is given.

    Raises:
        RQLError: if it cannot be read, or is newer than this version knows.
        DamagedError: if it was not sealed, was changed since, or is another file than the one with the digest.
    """
    try:
        sealed = path.read_bytes()
    except OSError as error:
        raise RQLError(f"{path} cannot be read: {error.strerror}") from error
    version, _, rest = sealed.removeprefix(MAGIC).partition(b"\n")
    checksum, _, content = rest.partition(b"\n")
    if not sealed.startswith(MAGIC) or not version.isdigit() or (digest is not None and int(version) != VERSION):
        raise DamagedError(f"{path} is no file of RQL, or its beginning is damaged")
    if checksum != _digest(version, content).encode():
        raise DamagedError(f"{path} is damaged: its content does not match its checksum")
    if int(version) > VERSION:
        raise RQLError(f"{path} has format {int(version)}; this version reads formats up to {VERSION}")
    if digest is not None and checksum != digest.encode():
        raise DamagedError(f"{path} is not the file that was written: it has another checksum")
    return content


def _digest(version: bytes, content: bytes) -> str:
    return hashlib.sha256(version + b"\n" + content).hexdigest()


def code_version() -> str:
    """The version of this package, with the commit where it runs from a checkout: `0.1.0+g1a2b3c4`."""
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / ".git").exists():
        return __version__  # an installed package may lie in somebody else's repository
    command = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    try:
        commit = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return __version__
    return f"{__version__}+g{commit}"
