"""The preset `hopper_medium` on five seeds: every evaluation, and whether one falls below 70 % of the clone's.

python benchmarks/hopper_medium.py FOLDER [overrides …]
Overrides go to every run, for instance dataset.id=rql/hopper/medium-v0.
"""

import sys
from pathlib import Path

import numpy as np
from runs import evaluations, run_all, summary

SEEDS = range(5)
LOWEST_SHARE = 0.7


def main(folder: Path, overrides: list[str]) -> None:
    """Run and print the tables."""
    jobs = {folder / f"seed{seed}": ["experiment=hopper_medium", f"seed={seed}", *overrides] for seed in SEEDS}
    runs = run_all(jobs)
    curves = {stage: [evaluations(path, stage) for path in runs] for stage in ("offline", "online")}
    steps = [f"{stage} {step / 1000:g}k" for stage in curves for step, _ in curves[stage][0]]
    print("| seed | π_BC | " + " | ".join(steps) + " | worst / π_BC |")
    print("|---" * (len(steps) + 3) + "|")
    clones = np.array([summary(path)["bc/return"] for path in runs])
    for seed, clone in zip(SEEDS, clones, strict=True):
        way = [value for stage in curves for _, value in curves[stage][seed]]
        print(f"| {seed} | {clone:.0f} | " + " | ".join(f"{v:.0f}" for v in way) + f" | {min(way) / clone:.2f} |")
    lowest = min(min(v for stage in curves for _, v in curves[stage][s]) / clones[s] for s in SEEDS)
    stages = {"π_BC": "bc", "offline": "offline", "finetuned": "online"}
    ends = {title: np.array([summary(path)[f"{stage}/return"] for path in runs]) for title, stage in stages.items()}
    print("\n" + ", ".join(f"{title} {end.mean():.0f} ± {end.std(ddof=1):.0f}" for title, end in ends.items()))
    print(f"finetuned above the clone: {ends['finetuned'].mean() > clones.mean()}; ", end="")
    print(f"no evaluation below {LOWEST_SHARE:.0%} of the clone: {lowest >= LOWEST_SHARE} (lowest {lowest:.0%})")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
