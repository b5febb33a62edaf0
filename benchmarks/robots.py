"""What finetuning adds to the clones of the robot presets, and how long a whole preset takes.

    pip install 'rql[manipulation]'
    python benchmarks/robots.py FOLDER [--only metaworld_push …] [--seed 0 1 2] [--episodes 100]

FOLDER holds the runs, which are made one after the other; those that are there already are not made again. Both
policies of a run play the same episodes, at their mode and from starts and goals that the run never met. The intervals
are those of Wilson at 95 % over all episodes of all seeds, which takes them for independent. "Worst − clone" is the
lowest evaluation on the way less the clone in the same episodes, in points, of each seed; "last / best" is of the
evaluations of a run, and "steps to 90 %" those before the first evaluation of at least 90 %. The minutes are those of
the longest run, on one core, from the demonstrations to the films.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from clones import presets
from omegaconf import OmegaConf
from runs import evaluations, run, summary
from scipy.stats import binomtest

import rql

FRESH = 10_000
"""Added to a run's seed, for starts and goals that it never met."""
GOAL = 0.9


def share(rates: list[float], episodes: int) -> str:
    """The success over all seeds with its interval."""
    successes, played = round(sum(rates) * episodes), len(rates) * episodes
    interval = binomtest(successes, played).proportion_ci(method="wilson")
    return f"{successes / played:.0%} ({interval.low:.0%} to {interval.high:.0%})"


def success(made: Path, seed: int, episodes: int) -> tuple[float, float]:
    """How often the clone and the finetuned policy of a run succeed."""
    played = rql.evaluate(made, episodes=episodes, seed=FRESH + seed)
    rates = {row["policy"]: float(row["success_rate"]) for row in played}
    return rates["bc"], rates["final"]


def on_the_way(made: Path) -> tuple[float, float, int | None]:
    """The lowest evaluation online less the clone in the same episodes, the last as a share of the best, and the steps
    before the first of at least 90 %.
    """
    gains, rates = (evaluations(made, "online", name) for name in ("gain", "success_rate"))
    reached = next((step for step, rate in rates if rate >= GOAL), None)
    return min(gain for _, gain in gains), rates[-1][1] / max(rate for _, rate in rates), reached


def rows(folder: Path, names: list[str], seeds: list[int], episodes: int) -> Iterator[str]:
    """A row for each preset, when it is measured."""
    for name in names:
        runs = [run(folder / f"{name}-{seed}", [f"experiment={name}", f"seed={seed}"]) for seed in seeds]
        clones, finetuned = zip(
            *(success(made, seed, episodes) for seed, made in zip(seeds, runs, strict=True)), strict=True
        )
        steps = OmegaConf.load(runs[0] / "config.yaml").online.env_steps
        each = ", ".join(f"{before:.0%} → {after:.0%}" for before, after in zip(clones, finetuned, strict=True))
        minutes = max(summary(made)["wall_seconds"] for made in runs) / 60
        means = f"{share(list(clones), episodes)} | {share(list(finetuned), episodes)}"
        worst, last, reached = zip(*(on_the_way(made) for made in runs), strict=True)
        way = f"{', '.join(f'{100 * gain:+.0f}' for gain in worst)} | {', '.join(f'{share:.2f}' for share in last)}"
        steps_to = ", ".join("–" if step is None else f"{step:,}" for step in reached)
        yield f"| {name} | {steps:,} | {means} | {each} | {way} | {steps_to} | {minutes:.0f} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--only", nargs="+", choices=presets(), default=presets())
    parser.add_argument("--seed", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--episodes", type=int, default=100)
    options = parser.parse_args()
    measured = "clone | finetuned | each seed | worst − clone | last / best | steps to 90 % | minutes"
    print(f"| preset | environment steps | {measured} |")
    print("|---|---|---|---|---|---|---|---|---|")
    for row in rows(options.folder, options.only, options.seed, options.episodes):
        print(row, flush=True)


if __name__ == "__main__":
    main()
