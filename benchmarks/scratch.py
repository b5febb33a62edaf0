"""The presets without data on three seeds: returns of the uniform prior, on the way, and at the end.

python benchmarks/scratch.py FOLDER
"""

import sys
from pathlib import Path

import numpy as np
from runs import evaluations, run_all, summary

TASKS = ("pendulum", "cartpole")
SEEDS = range(3)


def main(folder: Path) -> None:
    """Run and print the table."""
    print("| preset | seed | prior, sampled | a tenth | a fifth | two fifths | three fifths | four fifths | end |")
    print("|---|---|---|---|---|---|---|---|---|")
    for task in TASKS:
        jobs = {folder / f"{task}{seed}": [f"experiment={task}_scratch", f"seed={seed}"] for seed in SEEDS}
        ends = []
        for seed, run in zip(SEEDS, run_all(jobs), strict=True):
            way = [value for _, value in evaluations(run, "online")]
            shown = [way[round(share * len(way)) - 1] for share in (0.1, 0.2, 0.4, 0.6, 0.8, 1.0)]
            ends.append(shown[-1])
            cells = " | ".join(f"{value:.0f}" for value in (summary(run)["bc/sample_return"], *shown))
            print(f"| {task}_scratch | {seed} | {cells} |")
        print(f"| {task}_scratch | mean ± std | | | | | | | {np.mean(ends):.0f} ± {np.std(ends, ddof=1):.0f} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
