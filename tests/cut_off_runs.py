"""What tests of runs that are cut off and go on have in common."""

import time
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


def wait_for(directory: Path, stage: str) -> None:
    path, until = directory / "metrics.jsonl", time.monotonic() + 60
    while time.monotonic() < until:
        if path.exists() and f'"stage": "{stage}"' in path.read_text():
            return
        time.sleep(0.005)
    raise AssertionError(f"{directory} never came to {stage}")


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
