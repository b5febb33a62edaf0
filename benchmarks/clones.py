"""How often the clones of the robot presets succeed, before any finetuning.

    pip install 'rql[manipulation]'
    python benchmarks/clones.py [--only metaworld_push …] [--seeds 5] [--episodes 100]

Each seed clones the same demonstrations anew, in its own folder below `--out`. Success is that of the mode, its
interval that of Wilson at 95 % over all episodes of all seeds, which takes them for independent. The seconds are those
of one core, for a clone and its episodes, and with a share of the demonstrations where they were made as well.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

from omegaconf import OmegaConf
from scipy.stats import binomtest

import rql

ROBOTS = ("metaworld_", "ogbench_", "pointmaze_")
SHORT = ["offline.updates=0", "online.env_steps=0", "tracking=disabled", "tracking.log_video=false"]
UNSEEN = ["evaluation.boundary_episodes=1", "evaluation.num_envs=1"]
"""The run's own evaluation, which plays each mode, is not what counts; to make a robot takes a second or more."""


def presets() -> list[str]:
    """The experiments with robots, by name."""
    folder = Path(__file__).resolve().parents[1] / "conf" / "experiment"
    return sorted(path.stem for path in folder.glob("*.yaml") if path.stem.startswith(ROBOTS))


def rows(names: list[str], seeds: int, episodes: int, out: Path, override: list[str]) -> Iterator[str]:
    """A row for each preset, when it is measured."""
    for name in names:
        began, rates = time.process_time(), list[float]()
        for seed in range(seeds):
            typed = [f"experiment={name}", f"seed={seed}", *UNSEEN, *SHORT, *override]
            run = rql.train(overrides=typed, directory=str(out / name / str(seed)))
            rates += [row["success_rate"] for row in rql.evaluate(run.directory, "bc", "mode", episodes)]
        successes = round(sum(rates) * episodes)
        interval = binomtest(successes, seeds * episodes).proportion_ci(method="wilson")
        mean, each = successes / (seeds * episodes), ", ".join(f"{rate:.0%}" for rate in rates)
        demonstrations = OmegaConf.load(run.directory / "config.yaml").dataset.episodes
        seconds = (time.process_time() - began) / seeds
        yield (
            f"| {name} | {demonstrations} | {mean:.0%} ({interval.low:.0%} to {interval.high:.0%}) | {each} | "
            f"{seconds:.0f} |"
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=presets(), default=presets())
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--override", nargs="+", default=[], help="for all presets, such as dataset.episodes=30")
    parser.add_argument("--out", type=Path, default=Path("outputs/clones"))
    options = parser.parse_args()
    print(f"| preset | demonstrations | success of {options.seeds} clones | each | seconds a clone |")
    print("|---|---|---|---|---|")
    for row in rows(options.only, options.seeds, options.episodes, options.out, options.override):
        print(row, flush=True)


if __name__ == "__main__":
    main()
