"""What is learned with hidden layers in float32 and in bfloat16: returns of five seeds side by side.

    python benchmarks/precision.py FOLDER pendulum
    python benchmarks/precision.py FOLDER hopper dataset.id=ID

FOLDER holds the runs; those that are there already are not made again. The interval is that of the mean over seeds at
95 %, by Student's t.
"""

import argparse
from pathlib import Path

import numpy as np
from runs import run_all, summary
from scipy.stats import t

TASKS: dict[str, list[str]] = {"pendulum": [], "hopper": ["experiment=hopper_medium", "dataset=minari"]}
PRECISIONS = ("float32", "bf16")
SEEDS = 5


def main() -> None:
    """Run, and print a row for each stage and precision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("overrides", nargs="*", metavar="OVERRIDE")
    options = parser.parse_args()
    same = ["compile=on", "evaluation.boundary_episodes=50", *TASKS[options.task], *options.overrides]
    found = {
        options.folder / f"{options.task}-{precision}-{seed}": [*same, f"precision={precision}", f"seed={seed}"]
        for seed in range(SEEDS)
        for precision in PRECISIONS
    }
    run_all(found)
    print(f"| {options.task} | hidden layers in | return, mean (95 % interval) | each seed | updates a second |")
    print("|---|---|---|---|---|")
    for stage in ("bc", "offline", "online"):
        for precision in PRECISIONS:
            folders = [options.folder / f"{options.task}-{precision}-{seed}" for seed in range(SEEDS)]
            returns, rates = (
                np.array([summary(folder)[f"{stage}/{key}"] for folder in folders])
                for key in ("return", "updates_per_second")
            )
            half = t.ppf(0.975, SEEDS - 1) * returns.std(ddof=1) / SEEDS**0.5
            interval = f"{returns.mean():,.0f} ({returns.mean() - half:,.0f} to {returns.mean() + half:,.0f})"
            each = ", ".join(f"{value:,.0f}" for value in returns)
            print(f"| {stage} | {precision} | {interval} | {each} | {np.median(rates):,.0f} |")


if __name__ == "__main__":
    main()
