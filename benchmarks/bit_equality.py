"""Whether two checkouts compute the same: short runs of each, whose `metrics.jsonl` are compared number by number.

    python benchmarks/bit_equality.py OLD NEW FOLDER [--hopper ID]

OLD and NEW are the tops of two checkouts. FOLDER holds the runs; those that are there already are not made again.
Pairs must be equal to the last bit, up to time; those over several rewards (`q.n_step`) to a millionth in the first
100 updates of each stage, for their sums may be made in another order.
"""

import argparse
import json
import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

SHORT = [
    *("tracking=disabled", "batch_size=32", "bc.updates=60", "offline.updates=60", "offline.eval_every=30"),
    *("online.env_steps=120", "online.warmup_fraction=0.2", "online.eval_every=60", "tracking.log_every=20"),
    *("evaluation.episodes=2", "evaluation.boundary_episodes=2", "evaluation.num_envs=2"),
    *("target.num_samples=4", "cql.num_samples=2", "network.actor.hidden=[32,32]", "network.critic.hidden=[32,32]"),
]
DEMO = ["dataset.episodes=10"]
BETAS = ("linear", "kl")
TARGETS = ("soft", "max", "policy")
COMPOSITIONS = ("amortized", "resample")
MORE = {
    "pendulum-random-min": ["network.critic.ensemble_size=4", "network.critic.aggregate=random_min"],
    "pendulum-strong-fading": ["cql=strong", "cql.online_alpha=0.1", "cql.fade_steps=60", "replay=fading"],
    "pendulum-utd-2": ["online.utd=2", "q.normalize=false", "network.critic.aggregate=mean"],
    "pendulum-constant": ["beta=constant", "seed=3", "dataset.bc.top_fraction=0.5"],
    "pendulum-exponential": ["beta=exponential", "cql=off", "replay=online_only"],
    "cartpole-expected": ["env=cartpole", "target=expected", "beta=cosine"],
    "pendulum-scratch": ["experiment=pendulum_scratch", "q.n_step=1", "bc.updates=0", "offline.updates=0"],
    "cartpole-scratch": ["experiment=cartpole_scratch", "q.n_step=1", "bc.updates=0", "offline.updates=0"],
}
N_STEP = {
    "pendulum-3-step": ["q.n_step=3"],
    "pendulum-scratch-3-step": ["experiment=pendulum_scratch", "bc.updates=0", "offline.updates=0"],
    "cartpole-5-step": ["env=cartpole", "q.n_step=5", "beta=kl"],
}
UPDATES, TOLERANCE = 100, 1e-6


def pairs(hopper: str | None) -> dict[str, list[str]]:
    """The runs to compare, by name."""
    envs = {"pendulum": DEMO, "cartpole": ["env=cartpole", *DEMO]}
    if hopper:
        envs["hopper"] = ["env=hopper", "dataset=minari", f"dataset.id={hopper}"]
    found = {}
    for (env, overrides), composition, target, beta in product(envs.items(), COMPOSITIONS, TARGETS, BETAS):
        if env == "cartpole" or (composition, target) != ("resample", "policy"):  # which has no network for its target
            chosen = [f"composition={composition}", f"target={target}", f"beta={beta}"]
            found[f"{env}-{composition}-{target}-{beta}"] = [*overrides, *chosen]
    for name, overrides in (MORE | N_STEP).items():
        found[name] = [*([] if "scratch" in name else DEMO), *overrides]
    return found


def run(checkout: Path, directory: Path, overrides: list[str]) -> Path:
    """One run of a checkout."""
    if (directory / "summary.json").exists():
        return directory
    command = [sys.executable, "run.py", f"hydra.run.dir={directory.resolve()}", *overrides]
    environment = os.environ | {"PYTHONPATH": str(checkout.resolve())}
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{directory.name} of {checkout} failed:\n{done.stderr[-2000:]}")
    return directory


def lines_of(directory: Path) -> list[dict[str, Any]]:
    """The record without what a clock says."""
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{key: value for key, value in line.items() if key != "time"} for line in lines]


def differences(old: list[dict[str, Any]], new: list[dict[str, Any]], exactly: bool) -> list[str]:
    """What differs between two records."""
    if exactly:
        found = [f"{len(old)} and {len(new)} lines"] * (len(old) != len(new))
        for before, after in zip(old, new, strict=False):
            for key in before:  # a metric that is new has nothing to be compared with
                if before[key] != after.get(key):
                    where = f"{before['stage']} {before['step']}: {key}"
                    found.append(f"{where} {before[key]} and {after.get(key)}")
        return found
    return [
        f"{before['stage']} {before['step']}: {key} {before[key]} and {after[key]}"
        for before, after in zip(old, new, strict=False)
        if before["step"] <= UPDATES
        for key in before.keys() & after.keys()
        if isinstance(before[key], float) and not math.isclose(before[key], after[key], rel_tol=TOLERANCE, abs_tol=1e-9)
    ]


def main() -> None:
    """Run, compare, and print the count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path, metavar="OLD")
    parser.add_argument("new", type=Path, metavar="NEW")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--hopper", metavar="ID", help="a Minari data set of Hopper")
    parser.add_argument("--only", default="", metavar="TEXT", help="pairs with this in their name")
    options = parser.parse_args()
    wanted = {name: overrides for name, overrides in pairs(options.hopper).items() if options.only in name}
    folders = {which: options.folder / which for which in ("old", "new")}

    def both(name: str) -> list[str]:
        old, new = (
            lines_of(run(checkout, folders[which] / name, [*SHORT, *wanted[name]]))
            for which, checkout in (("old", options.old), ("new", options.new))
        )
        return differences(old, new, exactly=name not in N_STEP)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = dict(zip(wanted, pool.map(both, wanted), strict=True))
    for name, found in results.items():
        if found:
            print(f"{name} differs in {len(found)} places; the first: {found[0]}")
    exact = [name for name in results if name not in N_STEP]
    close = [name for name in results if name in N_STEP]
    print(f"{sum(not results[name] for name in exact)} of {len(exact)} pairs equal to the last bit")
    print(
        f"{sum(not results[name] for name in close)} of {len(close)} pairs over several rewards equal to {TOLERANCE:g}"
    )
    sys.exit(any(results.values()))


if __name__ == "__main__":
    main()
