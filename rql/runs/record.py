"""The local record: `config.yaml`, `metrics.jsonl` and `summary.json` in the run's folder."""

import json
import os
import time
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from rql.utils.errors import RQLError
from rql.utils.files import write_atomically

METRICS_FILE, CONFIG_FILE, SUMMARY_FILE = "metrics.jsonl", "config.yaml", "summary.json"
CHOICES = "choices"
"""The key of `config.yaml` under which the choice of every group is; the others are the configuration."""
EPISODES, VIDEOS, SHEETS, CONTACT_SHEET = "episodes", "videos", "contact_sheets", "contact_sheet.png"
"""The folder with the films of a run."""


class Position(NamedTuple):
    """A place in the record of a run."""

    bytes: int = 0
    """The size of `metrics.jsonl`."""
    seconds: float = 0.0
    """The time since the run began, without that between attempts."""


class LocalRecord:
    """Writes the record of one run."""

    def __init__(self, directory: Path, config: dict[str, Any], position: Position) -> None:
        """Begin a record, or go on with one from a position: what comes after it in the files is dropped.

        Raises:
            RQLError: if it cannot be written, or ends before the position.
        """
        self.directory = directory
        self._start = time.monotonic() - position.seconds
        try:
            write_atomically(directory / CONFIG_FILE, yaml.safe_dump(config, sort_keys=False).encode())
            (directory / SUMMARY_FILE).unlink(missing_ok=True)
            self._metrics = (directory / METRICS_FILE).open("a", encoding="utf-8")
            held = os.fstat(self._metrics.fileno()).st_size
            if held < position.bytes:
                what = f"has {held} bytes of {position.bytes} that the checkpoint knows of; it was damaged since"
                raise RQLError(f"{directory / METRICS_FILE} {what}")
            self._metrics.truncate(position.bytes)
        except OSError as error:
            raise RQLError(f"the run cannot be recorded in {directory}: {error}") from error

    def position(self) -> Position:
        """How far the record has come; up to there it is on the disk.

        Raises:
            OSError: if it cannot be written.
        """
        self._metrics.flush()
        os.fsync(self._metrics.fileno())
        return Position(os.fstat(self._metrics.fileno()).st_size, time.monotonic() - self._start)

    def log(self, stage: str, step: int, metrics: dict[str, float]) -> None:
        """Add one line: `stage`, `step` (updates, or environment steps online), `time` in seconds, and the metrics."""
        line = {"stage": stage, "step": step, "time": round(time.monotonic() - self._start, 3)} | metrics
        try:
            self._metrics.write(json.dumps(line) + "\n")
            self._metrics.flush()
        except OSError as error:
            raise RQLError(f"the run cannot be recorded in {self.directory / METRICS_FILE}: {error}") from error

    def finish(self, summary: dict[str, Any]) -> None:
        """Write the summary; that it exists says that the run came to its end."""
        write_atomically(self.directory / SUMMARY_FILE, f"{json.dumps(summary, indent=2)}\n".encode())

    def close(self) -> None:
        """Close the files."""
        self._metrics.close()


def read_summary(directory: Path) -> dict[str, Any]:
    """The content of `summary.json`; empty where the run has not come to its end.

    Raises:
        RQLError: if it is damaged.
    """
    path = directory / SUMMARY_FILE
    try:
        summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError as error:
        raise RQLError(f"{path} is damaged: {error}") from error
    return summary


def read_metrics(directory: Path) -> list[dict[str, Any]]:
    """The lines of `metrics.jsonl`.

    Raises:
        RQLError: if one of them is damaged.
    """
    path = directory / METRICS_FILE
    with path.open(encoding="utf-8") as lines:
        try:
            return [json.loads(line) for line in lines]
        except ValueError as error:
            raise RQLError(f"{path} is damaged: {error}") from error
