"""Every combination of environment, composition, target, β schedule and α_CQL, with budgets of a second.

python benchmarks/combinations.py [FOLDER]
"""

import math
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from runs import ROOT, summary

AXES = {
    "composition": ["resample", "amortized", "residual"],
    "target": ["max", "soft", "expected"],
    "beta": ["constant", "linear", "cosine", "exponential", "kl"],
    "cql": ["off", "seed", "light", "strong"],
}
SHORT = [
    "tracking=disabled",
    "dataset.episodes=10",
    "batch_size=32",
    "bc.updates=20",
    "offline.updates=20",
    "online.env_steps=60",
    "evaluation.episodes=2",
    "evaluation.boundary_episodes=2",
]


def sweep(folder: Path, env: str) -> int:
    """One sweep over all combinations for an environment; how many jobs left a whole record."""
    axes = [f"{group}={','.join(choices)}" for group, choices in AXES.items()]
    command = [sys.executable, str(ROOT / "run.py"), "-m", f"hydra.sweep.dir={folder / env}", f"env={env}"]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{env}.log").open("w") as log:
        subprocess.run([*command, *axes, *SHORT], stdout=log, stderr=subprocess.STDOUT, check=True)
    found = [summary(path.parent) for path in (folder / env).glob("*/summary.json")]
    return sum({"bc/return", "offline/return", "online/return"} <= one.keys() for one in found)


def main(folder: Path) -> None:
    """Run all of them and count those that left a whole record."""
    envs = ["pendulum", "cartpole"]
    combinations = math.prod(len(choices) for choices in AXES.values())
    with ThreadPoolExecutor(len(envs)) as pool:
        for env, whole in zip(envs, pool.map(lambda env: sweep(folder, env), envs), strict=True):
            print(f"{env}: {whole} of {combinations} combinations ran to the end")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp()))
