"""The local record: `config.yaml`, `metrics.jsonl` and `summary.json` in the run's folder."""

import json
import time
from pathlib import Path
from typing import Any

import yaml

from rql.errors import RQLError
from rql.files import write_atomically
from rql.training.ticks import Stage

METRICS_FILE, CONFIG_FILE, SUMMARY_FILE = "metrics.jsonl", "config.yaml", "summary.json"


class LocalRecord:
    """Writes the record of one run."""

    def __init__(self, directory: Path, config: dict[str, Any]) -> None:
        """Begin a record.

        Raises:
            RQLError: if the folder holds a run already, or cannot be written.
        """
        self.directory = directory
        self._start = time.monotonic()
        taken = [name for name in (METRICS_FILE, CONFIG_FILE, SUMMARY_FILE) if (directory / name).exists()]
        if taken:
            raise RQLError(f"{directory} holds a run already ({taken[0]}); hydra.run.dir=FOLDER names another place")
        try:
            directory.mkdir(parents=True, exist_ok=True)
            write_atomically(directory / CONFIG_FILE, yaml.safe_dump(config, sort_keys=False).encode())
            self._metrics = (directory / METRICS_FILE).open("x", encoding="utf-8")
        except OSError as error:
            raise RQLError(f"the run cannot be recorded in {directory}: {error}") from error

    def log(self, stage: Stage, step: int, metrics: dict[str, float]) -> None:
        """Add one line: `stage`, `step` (updates, or environment steps online), `time` in seconds, and the metrics."""
        line = {"stage": stage, "step": step, "time": round(time.monotonic() - self._start, 3)} | metrics
        self._metrics.write(json.dumps(line) + "\n")
        self._metrics.flush()

    def finish(self, summary: dict[str, Any]) -> None:
        """Write the summary; that it exists says that the run came to its end."""
        write_atomically(self.directory / SUMMARY_FILE, f"{json.dumps(summary, indent=2)}\n".encode())

    def close(self) -> None:
        """Close the files."""
        self._metrics.close()


def read_metrics(directory: Path) -> list[dict[str, Any]]:
    """The lines of `metrics.jsonl`."""
    with (directory / METRICS_FILE).open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
