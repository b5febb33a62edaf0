"""The preset `hopper_medium` on ten seeds: every evaluation, and the worst beside the clone in the same episodes.

python benchmarks/hopper_medium.py FOLDER [overrides …]
Overrides go to every run, for instance dataset.id=rql/hopper/medium-v0.
"""

import sys
from pathlib import Path

import numpy as np
from runs import evaluations, run_all, summary

SEEDS = range(10)
LATE = 15_000
"""Environment steps from which on the mean of evaluations is printed."""


def main(folder: Path, overrides: list[str]) -> None:
    """Run and print the tables."""
    jobs = {folder / f"seed{seed}": ["experiment=hopper_medium", f"seed={seed}", *overrides] for seed in SEEDS}
    runs = run_all(jobs)
    curves = {stage: [evaluations(path, stage) for path in runs] for stage in ("offline", "online")}
    steps = [f"{stage} {step / 1000:g}k" for stage in curves for step, _ in curves[stage][0]]
    print("| seed | π_BC | " + " | ".join(steps) + " | worst / π_BC |")
    print("|---" * (len(steps) + 3) + "|")
    clones = np.array([summary(path)["bc/return"] for path in runs])
    for seed, clone, path in zip(SEEDS, clones, runs, strict=True):
        way = [value for stage in curves for _, value in curves[stage][seed]]
        print(f"| {seed} | {clone:.0f} | " + " | ".join(f"{v:.0f}" for v in way) + f" | {worst_share(path):.2f} |")
    stages = {"π_BC": "bc", "offline": "offline", "finetuned": "online"}
    ends = {title: np.array([summary(path)[f"{stage}/return"] for path in runs]) for title, stage in stages.items()}
    print("\n" + ", ".join(f"{title} {end.mean():.0f} ± {end.std(ddof=1):.0f}" for title, end in ends.items()))
    late = np.array([np.mean([value for step, value in curve if step >= LATE]) for curve in curves["online"]])
    print(f"mean of the evaluations from {LATE:,} steps on: {late.mean():.0f}; each seed {np.round(late)}")
    print(f"worst evaluation beside the clone, mean over seeds: {np.mean([worst_share(path) for path in runs]):.2f}")


def worst_share(run: Path) -> float:
    """The lowest evaluation after cloning as a share of the clone's return in the same episodes."""
    stages = "offline", "online"
    found = {
        name: [value for stage in stages for _, value in evaluations(run, stage, name)]
        for name in ("return", "baseline_return")
    }
    shares = [value / clone for value, clone in zip(*found.values(), strict=True)]
    return float(min(shares))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
