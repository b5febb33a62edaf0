"""Every combination of environment, composition, target, β schedule and α_CQL, with budgets of a second or two.

python benchmarks/combinations.py [FOLDER]
"""

import itertools
import sys
import tempfile
from collections import Counter
from pathlib import Path

from runs import run_all, summary

AXES = {
    "env": ["pendulum", "cartpole"],
    "composition": ["resample", "amortized"],
    "target": ["max", "soft", "expected"],
    "beta": ["constant", "linear", "cosine", "exponential", "kl"],
    "cql": ["off", "seed", "light", "strong"],
}
SHORT = [
    "dataset.episodes=10",
    "batch_size=32",
    "bc.updates=20",
    "offline.updates=20",
    "online.env_steps=60",
    "evaluation.episodes=2",
    "evaluation.boundary_episodes=2",
]


def main(folder: Path) -> None:
    """Run all of them and count those that left a whole record."""
    jobs = {}
    for index, choices in enumerate(itertools.product(*AXES.values())):
        jobs[folder / str(index)] = [f"{group}={choice}" for group, choice in zip(AXES, choices, strict=True)] + SHORT
    whole = Counter(
        overrides[0]
        for path, overrides in zip(run_all(jobs), jobs.values(), strict=True)
        if {"bc/return", "offline/return", "online/return"} <= summary(path).keys()
    )
    for env, count in whole.items():
        print(f"{env}: {count} combinations ran to the end")
    print(f"{whole.total()} of {len(jobs)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp()))
