"""Seconds from a command to its answer, and to the first update of the main job, by the clock.

python benchmarks/startup.py
Updates that are compiled were compiled before.
"""

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from runs import ROOT

ROUNDS = 5
ANSWERS = ("--help", "--cfg job")
LONG = ["bc.updates=1000000", "tracking.log_every=1", "tracking=disabled"]


def answer(arguments: str) -> float:
    """Of a command that prints and ends."""
    began = time.perf_counter()
    subprocess.run([sys.executable, ROOT / "run.py", *arguments.split()], capture_output=True, check=True)
    return time.perf_counter() - began


def first_update(compile: str) -> float:
    """Of a run, which is then stopped."""
    with tempfile.TemporaryDirectory() as folder:
        metrics = Path(folder) / "metrics.jsonl"
        command = [sys.executable, str(ROOT / "run.py"), f"hydra.run.dir={folder}", f"compile={compile}", *LONG]
        began = time.perf_counter()
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not (metrics.exists() and metrics.stat().st_size):
            if run.poll() is not None:
                raise RuntimeError(f"compile={compile}: the run ended before its first update")
            time.sleep(0.005)
        seconds = time.perf_counter() - began
        run.send_signal(signal.SIGKILL)
        run.wait()
    return seconds


def main() -> None:
    """Take turns, and print the median and the range of each."""
    print(f"| python run.py | | seconds, median ({ROUNDS} rounds) |")
    print("|---|---|---|")
    rounds = [[*map(answer, ANSWERS), *map(first_update, ("off", "on"))] for _ in range(ROUNDS + 1)]
    names = [*((arguments, "to its end") for arguments in ANSWERS)]
    names += [(f"compile={compile}", "to the first update") for compile in ("off", "on")]
    for (arguments, until), column in zip(names, np.array(rounds[1:]).T, strict=True):  # the first one compiles
        print(f"| `{arguments}` | {until} | {np.median(column):.1f} ({column.min():.1f} to {column.max():.1f}) |")


if __name__ == "__main__":
    main()
