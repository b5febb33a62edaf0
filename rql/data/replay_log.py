"""The replay buffer on disk, so that a checkpoint writes only what is new.

A log is a store of the steps of a run: each file holds those that were made between two checkpoints. A checkpoint
remembers the files that it needs and their digests; files that come later do not disturb it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rql.data.replay import BEGINS, LAST_ROW
from rql.utils.store import Arrays, Store


class LogFile(NamedTuple):
    """One file of the log."""

    number: int
    digest: str
    first: int
    """The number of its first transition, counted from the beginning of the run."""
    last: int
    """One past the number of its last transition."""


class ReplayLog:
    """The steps of one run, in the order in which they were made."""

    def __init__(self, directory: Path) -> None:
        self._store = Store(directory)
        self._files: list[LogFile] = []

    @property
    def appended(self) -> int:
        """Transitions since the run began."""
        return self._files[-1].last if self._files else 0

    def append(self, steps: Mapping[str, Any], last: int) -> None:
        """Write new steps, as `ReplayBuffer.since` gives them, of transitions up to number `last`.

        Raises:
            OSError: if they cannot be written; then the log is as it was.
        """
        count = len(steps[BEGINS])
        if count:
            number = self._files[-1].number + 1 if self._files else 0
            digest = self._store.write(number, steps)
            self._files.append(LogFile(number, digest, last - count, last))

    def described(self) -> list[tuple[Any, ...]]:
        """What `read` needs to find and check the steps that are there now."""
        return [tuple(file) for file in self._files]

    def restart(self) -> None:
        """Delete all steps: the run goes on from a moment when there were none.

        Raises:
            RQLError: if that cannot be.
        """
        self._keep([])

    def forget_before(self, first: int) -> None:
        """Delete the files that hold only transitions before this number."""
        self._keep([file for file in self._files if file.last > first])

    def read(self, described: list[Any], kept: int) -> Arrays:
        """The newest `kept` steps of the log as it was described; go on from there.

        Raises:
            DamagedError: if a file is missing or is not the one that was written.
            RQLError: if it cannot be read.
        """
        files = [LogFile(*file) for file in described]
        first = files[-1].last - kept
        needed = [file for file in files if file.last > first]
        parts = [_from(self._store.read(file.number, file.digest), first - file.first) for file in needed]
        self._keep(files)
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _keep(self, files: list[LogFile]) -> None:
        self._files = files
        self._store.keep({file.number for file in files})


def _from(steps: Arrays, place: int) -> Arrays:
    """The steps from a place on, where that is not before the first of them."""
    if place <= 0:
        return steps
    before = int(steps[BEGINS][:place].sum())
    return {name: part[before:] if name.startswith(LAST_ROW) else part[place:] for name, part in steps.items()}
