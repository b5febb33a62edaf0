"""What tests of runs that are cut off and go on have in common."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY

from rql.utils import files

LONGER = [
    *TINY,
    "bc.updates=100",
    "offline.updates=60",
    "online.env_steps=200",
    "online.utd=0.3",
    "online.eval_every=100",
    "tracking.log_every=5",
]
NO_DATA = [
    *(override for override in LONGER if not override.startswith("dataset.")),
    "dataset=none",
    "policy=uniform",
    "baseline=none",
    "replay=online_only",
    "bc.updates=0",
    "offline.updates=0",
]
MORE = "online.env_steps=48"


def wait_for(directory: Path, stage: str, step: int = 0) -> None:
    """Wait until a run has recorded a step of a stage, or a later one."""
    path = directory / "metrics.jsonl"
    wait_until(
        lambda: path.exists() and _has(path, stage, step),
        f"{directory} to come to {stage} {step}",
    )


def _has(path: Path, stage: str, step: int) -> bool:
    lines = path.read_text().split("\n")[:-1]  # the last may be half written
    return any(line["stage"] == stage and line["step"] >= step for line in map(json.loads, lines))


def wait_until(holds: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(0.005)


def damaged(name: str, content: bytes | None) -> Any:
    def damage(directory: Path) -> None:
        for path in directory.glob(name):
            path.write_bytes(content) if content is not None else path.unlink()

    return damage


def seal_as_newer(path: Path) -> None:
    """Make a sealed file one of a version of the package that is still to come."""
    content = files.unseal(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "VERSION", 9)
        path.write_bytes(files.seal(content))
