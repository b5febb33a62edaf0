"""Opening a Minari data set of a million transitions in episodes of 25 steps: Minari itself, the first time, again.

python benchmarks/datasets.py [FOLDER] [EPISODES]
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import gymnasium
import minari
import numpy as np
from minari.data_collector.episode_buffer import EpisodeBuffer
from minari.storage.datasets_root_dir import get_dataset_path

from rql.data.cache import open_cached
from rql.data.convert import Reading
from rql.data.load import minari_root
from rql.data.sources.minari import open_minari
from rql.data.writing import describe_set, write_set
from rql.envs.spaces import describe

ID, STEPS = "rql/hopper/short-v0", 25


def make(episodes: int) -> None:
    """Write the data set, if it is not there."""
    rng = np.random.default_rng(0)
    flags = [False] * (STEPS - 1)

    def episode(index: int) -> EpisodeBuffer:
        return EpisodeBuffer(
            id=index,
            observations=rng.normal(size=(STEPS + 1, 11)),
            actions=rng.uniform(-1, 1, (STEPS, 3)).astype(np.float32),
            rewards=list(rng.normal(size=STEPS)),
            terminations=[*flags, True],
            truncations=[*flags, False],
        )

    if not get_dataset_path(ID).exists():
        with gymnasium.make("Hopper-v5") as env:
            write_set(
                get_dataset_path(ID), describe_set(ID, env, {}), (episode(index) for index in range(episodes)), size=0
            )


def iterate() -> float:
    """Read every array of every episode with Minari; the sum of all rewards."""
    return float(sum(episode.rewards.sum() for episode in minari.load_dataset(ID).iterate_episodes()))


def open_it(cache: Path) -> float:
    """Open with RQL, and read all of it once as a run does; the sum of all rewards."""
    source = open_minari(ID, download=False)
    assert source.spaces is not None
    data = open_cached(source, Reading(describe(ID, *source.spaces)), cache)
    return float(data.reward.sum(dtype=np.float64))


def measure(what: str, root: Path) -> None:
    """Print seconds, and megabytes of memory at the peak above those after the imports."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    with minari_root(str(root)):
        total = iterate() if what == "minari" else open_it(root / "cache")
    seconds = time.perf_counter() - started
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(json.dumps({"seconds": seconds, "peak": peak, "total": total}))


def main(root: Path, episodes: int) -> None:
    """Make the set, measure each way in a process of its own, print the table."""
    with minari_root(str(root)):
        make(episodes)
    results = {}
    for title, what in (("Minari, iterating", "minari"), ("RQL, first time", "first"), ("RQL, again", "again")):
        command = [sys.executable, __file__, "--measure", what, str(root)]
        results[title] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    size = episodes * ((STEPS + 1) * (11 * 8 + 8) + STEPS * 3 * 4) / 1e6
    reference = results["Minari, iterating"]["seconds"]
    print(f"{episodes * STEPS:,} transitions in {episodes:,} episodes; as arrays {size:.0f} MB")
    print("| | seconds | to Minari | peak memory / arrays |")
    print("|---|---|---|---|")
    for title, one in results.items():
        share = one["seconds"] / reference
        print(f"| {title} | {one['seconds']:.3f} | {share:.4f} (1/{1 / share:.0f}) | {one['peak'] / size:.2f} |")
    totals = [one["total"] for one in results.values()]
    print(f"the same rewards: {np.allclose(totals, totals[0], rtol=1e-3, atol=1.0)}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2], Path(sys.argv[3]))
    else:
        place = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp())
        main(place, int(sys.argv[2]) if len(sys.argv) > 2 else 40_000)
