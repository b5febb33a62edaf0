"""Whether minari and d3rlpy open what `rql collect` writes, with the same actions, rewards and ends.

Observations are compared in the first episode alone: d3rlpy 2.8.1 puts the T + 1 observations of an episode beside its
T actions, so that those of later episodes are out of step with any Minari data set.

pip install --no-deps -r benchmarks/peers.txt
python benchmarks/interop.py
"""

import os
import subprocess
import sys
import tempfile

import numpy as np

SETS = {"hopper": "rql/hopper/random-v0", "cartpole": "rql/cartpole/random-v0"}


def main(folder: str) -> None:
    """Collect, open with both, compare, print a line each."""
    os.environ["MINARI_DATASETS_PATH"] = folder
    import d3rlpy
    import minari

    print("| data set | episodes | transitions | minari | d3rlpy | the same |")
    print("|---|---|---|---|---|---|")
    for env, id in SETS.items():
        command = [sys.executable, "-m", "rql", "collect", f"env={env}", f"id={id}", "steps=5000"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        theirs = minari.load_dataset(id)
        dataset, recovered = d3rlpy.datasets.get_minari(id)
        pairs = list(zip(theirs.iterate_episodes(), dataset.episodes, strict=True))
        same = all(
            np.array_equal(one.actions, np.asarray(other.actions).reshape(one.actions.shape))
            and np.array_equal(one.rewards, other.rewards[:, 0])
            and bool(one.terminations[-1]) == other.terminated
            for one, other in pairs
        )
        first = theirs[0].observations[: len(theirs[0].actions)]
        same &= np.array_equal(first, dataset.episodes[0].observations)
        counts = f"{theirs.total_steps:,} | {dataset.transition_count:,} ({recovered.spec.id})"
        print(f"| {id} | {len(pairs)} | {theirs.total_steps:,} | {counts} | {same} |")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        main(place)
