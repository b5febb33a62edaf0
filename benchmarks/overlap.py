"""Environment steps a second of finetuning with updates after each step, and with updates while it is made.

    pip install 'rql[mujoco,manipulation]'
    python benchmarks/overlap.py FOLDER [--only ogbench_cube_single …]

Three rounds of each, in turn, by the clock; it takes two cores with nothing else to do. FOLDER holds the runs; those
that are there already are not made again.
"""

import argparse
from pathlib import Path

import numpy as np
from runs import run, summary

SHORT = ["online.env_steps=2500", "online.eval_every=0", "evaluation.boundary_episodes=1", "compile=on"]
CLONED = ["bc.updates=100", "tracking.log_video=false"]
TASKS = {
    "hopper": ["experiment=scratch", "env=hopper", "agent=sac", "network=medium"],
    "metaworld_push": ["experiment=metaworld_push", *CLONED],
    "ogbench_cube_single": ["experiment=ogbench_cube_single", *CLONED],
}
WAYS = {
    "updates after a step": ["env.vectorization=sync"],
    "updates meanwhile": ["env.vectorization=subprocess", "online.overlap=true"],
}
ROUNDS = 3


def main() -> None:
    """Run, and print a row for each task and way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--only", nargs="+", choices=TASKS, default=list(TASKS))
    options = parser.parse_args()
    print(f"| task | | environment steps a second, median ({ROUNDS} rounds) | ratio |")
    print("|---|---|---|---|")
    for task in options.only:
        rates: dict[str, list[float]] = {way: [] for way in WAYS}
        for number in range(ROUNDS):
            for way, overrides in WAYS.items():
                folder = options.folder / f"{task}-{way.replace(' ', '_')}-{number}"
                made = run(folder, [*TASKS[task], *SHORT, *overrides])
                rates[way].append(summary(made)["env_steps_per_second"])
        first = np.median(rates["updates after a step"])
        for way, found in rates.items():
            spread = f"{np.median(found):,.0f} ({min(found):,.0f} to {max(found):,.0f})"
            print(f"| {task} | {way} | {spread} | {np.median(found) / first:.2f} |", flush=True)


if __name__ == "__main__":
    main()
