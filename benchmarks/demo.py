"""The main job on five seeds: how much of the gap between the clone and the best known return is closed.

python benchmarks/demo.py [FOLDER]
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from runs import run_all, summary

BEST_KNOWN = -150.0
SEEDS = range(5)
STAGES = ("bc", "offline", "online")


def main(folder: Path) -> None:
    """Run and print the table."""
    found = [summary(path) for path in run_all({folder / f"seed{seed}": [f"seed={seed}"] for seed in SEEDS})]
    returns = np.array([[one[f"{stage}/return"] for stage in STAGES] for one in found])
    closed = (returns[:, 2] - returns[:, 0]) / (BEST_KNOWN - returns[:, 0])
    print("| seed | π_BC | π_final, offline | π_final, finetuned | gap closed | seconds |")
    print("|---|---|---|---|---|---|")
    for seed, row, share, one in zip(SEEDS, returns, closed, found, strict=True):
        cells = " | ".join(f"{value:.1f}" for value in row)
        print(f"| {seed} | {cells} | {100 * share:.0f} % | {one['wall_seconds']:.0f} |")
    spread = " | ".join(f"{m:.1f} ± {s:.1f}" for m, s in zip(returns.mean(0), returns.std(0, ddof=1), strict=True))
    print(f"| mean ± std | {spread} | {100 * closed.mean():.0f} % | |")
    print(f"\nat least 90 % of the gap to {BEST_KNOWN:.0f} closed: {(closed >= 0.9).sum()} of {len(closed)} seeds")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp()))
