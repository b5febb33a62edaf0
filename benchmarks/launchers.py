"""Throughput of a sweep of eight jobs: one process, joblib, ray; each launcher in turn, for some rounds.

    python benchmarks/launchers.py basic joblib ray:RAY_ENVIRONMENT/bin/python

The extras `joblib` and `ray` want different versions of cloudpickle, so that ray lives in an environment of its own.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
JOBS, ROUNDS = 8, 3
SHORT = [
    "tracking=disabled",
    "bc.updates=1000",
    "offline.updates=500",
    "online.env_steps=500",
    "online.eval_every=0",
    "evaluation.boundary_episodes=10",
]


def seconds(launcher: str, folder: Path, jobs: int = JOBS) -> float:
    """Of a whole sweep, with its start and its end."""
    name, _, python = launcher.partition(":")
    command = [python or sys.executable, str(ROOT / "run.py"), "-m", f"seed=range({jobs})", *SHORT]
    began = time.perf_counter()
    command += [f"hydra/launcher={name}", f"hydra.sweep.dir={folder}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def main(launchers: list[str]) -> None:
    """Measure and print the table."""
    with tempfile.TemporaryDirectory() as place:
        os.environ |= {"MINARI_DATASETS_PATH": f"{place}/minari", "XDG_CACHE_HOME": f"{place}/cache"}
        seconds(launchers[0], Path(place) / "warm", jobs=1)  # makes the demonstrations
        rows = [
            [seconds(launcher, Path(place) / f"{number}-{turn}") for number, launcher in enumerate(launchers)]
            for turn in range(ROUNDS)
        ]
    table = np.array(rows)
    print(f"{os.cpu_count()} cores, {JOBS} jobs, {ROUNDS} rounds")
    print("| launcher | jobs a minute, median | to one process |")
    print("|---|---|---|")
    for launcher, column in zip(launchers, table.T, strict=True):
        rate = 60.0 * JOBS / column
        ratio = np.median(table[:, 0] / column)
        spread = f"({rate.min():.1f} to {rate.max():.1f})"
        print(f"| {launcher.partition(':')[0]} | {np.median(rate):.1f} {spread} | {ratio:.2f} |")


if __name__ == "__main__":
    main(sys.argv[1:] or ["basic", "joblib"])
