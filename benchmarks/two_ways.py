"""What each class of clone makes of a task with two equally good ways, and what finetuning makes of it.

    python benchmarks/two_ways.py FOLDER [--seeds 3] [--episodes 50] [--figure ways.png]

FOLDER holds the runs of `experiment=two_ways`; those that are there already are not made again. Both policies of a run
play the same episodes, at their mode and sampled, from starts that training never met. The share on the left is that of
the sampled episodes that arrive. The figure shows the sampled ways of the first seed.
"""

import argparse
from pathlib import Path

import gymnasium
import matplotlib
import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from runs import run_all

import rql
from rql.envs.two_ways import BRIDGE, EDGE, GOAL, ID, WIDTH

NARROW = "composition.width=0.05"
"""Noise of samples, which would leave a bridge otherwise."""
POLICIES = {
    "squashed_gaussian": ["policy=squashed_gaussian", NARROW],
    "mixture": ["policy=mixture", NARROW],
    "flow": ["policy=flow", NARROW],
    "amortized_gaussian": ["policy=squashed_gaussian", "composition=amortized"],
}
DRAWN = ("squashed_gaussian", "mixture", "flow")
STAGES = {"bc": "clone", "final": "finetuned"}
FRESH = 10_000
"""The seed of the first start, which training never met."""

Way = NDArray[np.float32]
"""(steps + 1, 2): the places of an episode."""


def ways(run: Path, which: str, deterministic: bool, episodes: int) -> list[Way]:
    """Episodes of a policy of a run."""
    policy, found = rql.load_policy(run, which, deterministic), list[Way]()
    with gymnasium.make(ID) as env:
        for number in range(episodes):
            obs, _ = env.reset(seed=FRESH + number)
            policy.begin()
            way, ended = [obs], False
            while not ended:
                obs, _, terminated, truncated, _ = env.step(policy(obs))
                way.append(obs)
                ended = terminated or truncated
            found.append(np.stack(way))
    return found


def arrives(way: Way) -> bool:
    """Whether an episode comes to the other side."""
    return bool(way[-1, 0] >= GOAL)


def on_the_left(way: Way) -> bool:
    """Whether an episode takes the bridge on its left."""
    return bool(way[np.abs(way[:, 1]).argmax(), 1] > 0)


def row(runs: list[Path], which: str, episodes: int) -> str:
    """Success of the mode, of samples, and the share of the left, by seed."""
    modes, samples, left = list[str](), list[str](), list[str]()
    for made in runs:
        modes.append(f"{np.mean([arrives(way) for way in ways(made, which, True, episodes)]):.0%}")
        sampled = ways(made, which, False, episodes)
        arrived = [way for way in sampled if arrives(way)]
        samples.append(f"{len(arrived) / episodes:.0%}")
        left.append(f"{np.mean([on_the_left(way) for way in arrived]):.0%}" if arrived else "")
    return " | ".join(", ".join(figures) for figures in (modes, samples, left))


def draw(axes: Axes, shown: list[Way], title: str) -> None:
    """The chasm with its bridges, the other side, and ways."""
    axes.axvspan(-EDGE, EDGE, color="#222222")
    for middle in (-BRIDGE, BRIDGE):
        axes.add_patch(Rectangle((-EDGE, middle - WIDTH), 2.0 * EDGE, 2.0 * WIDTH, color="#ffffff"))
    axes.axvspan(GOAL, 1.0, color="#c8e6c9")
    for way in shown:
        axes.plot(*way.T, color="#009e73" if arrives(way) else "#d55e00", alpha=0.4, linewidth=1.0)
    axes.set(title=title, xlim=(-1.05, 1.0), ylim=(-1.0, 1.0), aspect="equal", xticks=[], yticks=[])


def main() -> None:
    """Print the table, and draw the figure where one is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    jobs = {
        options.folder / f"{policy}-{seed}": ["experiment=two_ways", f"seed={seed}", *chosen]
        for policy, chosen in POLICIES.items()
        for seed in range(options.seeds)
    }
    made = dict(zip(jobs, run_all(jobs), strict=True))
    print("| π_BC | | mode arrives | samples arrive | of them on the left |\n|---|---|---|---|---|")
    for policy in POLICIES:
        runs = [made[options.folder / f"{policy}-{seed}"] for seed in range(options.seeds)]
        for which, name in STAGES.items():
            print(f"| {policy} | {name} | {row(runs, which, options.episodes)} |", flush=True)
    if options.figure:
        matplotlib.use("agg")
        figure, axes = pyplot.subplots(2, len(DRAWN), figsize=(9, 6.2), layout="constrained")
        for column, policy in enumerate(DRAWN):
            for line, (which, name) in enumerate(STAGES.items()):
                shown = ways(options.folder / f"{policy}-0", which, False, options.episodes)
                draw(axes[line, column], shown, f"{policy}, {name}")
        figure.savefig(options.figure, dpi=110)


if __name__ == "__main__":
    main()
