"""The presets without data: how soon an evaluation reaches a medium and an expert return, and how the run ends.

python benchmarks/scratch.py FOLDER [pendulum] [cartpole] [hopper]
"""

import sys
from pathlib import Path

import numpy as np
import yaml
from runs import evaluations, run_all, summary

GOALS = {"pendulum": (-400.0, -160.0), "cartpole": (250.0, 490.0), "hopper": (1000.0, 3000.0)}
"""Medium and expert. Training ends at the first evaluation that reaches the second."""
SEEDS = {"pendulum": range(5), "cartpole": range(5), "hopper": range(3)}


def main(folder: Path, tasks: list[str]) -> None:
    """Run what is not there yet, and print the table."""
    print("| preset | seed | prior | medium after | expert after | end, mode | end, sampled |")
    print("|---|---|---|---|---|---|---|")
    for task in tasks:
        medium, expert = GOALS[task]
        jobs = {
            folder / f"{task}{seed}": [f"experiment={task}_scratch", f"seed={seed}", f"online.stop_return={expert:g}"]
            for seed in SEEDS[task]
        }
        ends = []
        for seed, run in zip(SEEDS[task], run_all(jobs), strict=True):
            way, found = evaluations(run, "online"), summary(run)
            ends.append(found["online/return"])
            # the evaluation that reaches the goal is made again with more episodes, and may then lie below it
            steps = yaml.safe_load((run / "config.yaml").read_text())["online"]["env_steps"]
            reached = way[-1][0] < steps or way[-1][1] >= expert
            early = next((f"{step:,}" for step, value in way if value >= medium), "–")
            first = [early, f"{way[-1][0]:,}" if reached else "–"]
            spread = [
                f"{found[f'online/{mode}return']:,.0f} ± {found[f'online/{mode}return_std']:,.0f}"
                for mode in ("", "sample_")
            ]
            cells = " | ".join([f"{found['bc/sample_return']:,.0f}", *first, *spread])
            print(f"| {task}_scratch | {seed} | {cells} |")
        print(f"| {task}_scratch | mean ± std | | | | {np.mean(ends):,.0f} ± {np.std(ends, ddof=1):,.0f} | |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or ["pendulum", "cartpole"])
