"""Running `run.py` several times, one CPU thread each, and reading what the runs left."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def run(directory: Path, overrides: Sequence[str]) -> Path:
    """One run in a process of its own; its output goes to `output.log` in its folder.

    A finished run is not repeated, and one that was cut off goes on.

    Raises:
        RuntimeError: if the run fails; with the end of its output.
    """
    if (directory / "summary.json").exists():
        return directory
    directory.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(ROOT / "run.py"), f"hydra.run.dir={directory}", "tracking=disabled"]
    log = directory / "output.log"
    with log.open("w") as output:
        finished = subprocess.run([*command, *overrides], stdout=output, stderr=subprocess.STDOUT, check=False)
    if finished.returncode:
        raise RuntimeError(f"{' '.join(overrides)} failed:\n{log.read_text()[-2000:]}")
    return directory


def run_all(jobs: dict[Path, list[str]]) -> list[Path]:
    """All jobs (folder → overrides), as many at once as the machine has cores, in their order."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(run, jobs.keys(), jobs.values()))


def summary(directory: Path) -> dict[str, Any]:
    """The run's `summary.json`."""
    content: dict[str, Any] = json.loads((directory / "summary.json").read_text())
    return content


def evaluations(directory: Path, stage: str, metric: str = "return") -> list[tuple[int, float]]:
    """(step, value) of a metric of a stage's evaluations, which is the mean return unless told otherwise."""
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line[metric]) for line in lines if line["stage"] == stage and metric in line]
