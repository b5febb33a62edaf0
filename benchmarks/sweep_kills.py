"""Kill a sweep of 24 jobs three times with SIGKILL, launcher and workers, start it again each time; then add 8 jobs.

    python benchmarks/sweep_kills.py --launcher joblib submitit_local ray

It prints, after each kill, how many jobs were done, and at the end whether all are, whether a job that was done was
ever touched again, and whether the records are whole.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
GRID = ["cql.alpha=1e-3,3e-4", "network.critic.hidden=[32],[48]"]
WHOLE = ["beta=constant,linear,cosine", *GRID, "seed=0,1"]
EIGHT_MORE = ["beta=constant,linear", *GRID, "seed=0,1,2"]
SHORT = [
    "tracking=disabled",
    "dataset.episodes=10",
    "bc.updates=300",
    "offline.updates=200",
    "online.env_steps=500",
    "online.eval_every=250",
    "offline.eval_every=0",
    "evaluation.boundary_episodes=5",
    "evaluation.episodes=2",
    "network.actor.hidden=[32]",
    "checkpoint.steps=100",
]
LENGTHS = {"bc": "updates", "offline": "updates", "online": "env_steps"}
"""The key of each stage's length."""
MARK = "RQL_SWEEP_KILLS"
KILLS = 3


def start(arguments: list[str], folder: Path, launcher: str, log: Path) -> "subprocess.Popen[bytes]":
    """Launch the sweep; all processes that come of it carry a mark in their environment."""
    command = [sys.executable, str(ROOT / "run.py"), "-m", *arguments, *SHORT, f"hydra/launcher={launcher}"]
    with log.open("a") as output:
        return subprocess.Popen(
            [*command, f"hydra.sweep.dir={folder}"], stdout=output, stderr=output, env=os.environ | {MARK: folder.name}
        )


def kill_all(folder: Path) -> None:
    """SIGKILL to every process with the mark."""
    mark = f"{MARK}={folder.name}".encode()
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in path.read_bytes().split(b"\0"):
                os.kill(int(path.parent.name), 9)
        except OSError:
            continue


def done(folder: Path) -> dict[str, int]:
    """The jobs that are done, and when their summary was written."""
    found = {}
    for path in folder.glob("*/job.json"):
        if json.loads(path.read_text())["status"] == "done":
            found[path.parent.name] = (path.parent / "summary.json").stat().st_mtime_ns
    return found


def is_whole(job: Path) -> bool:
    """Whether the record of a job is that of a run from its beginning to its end, no line twice."""
    lines = [json.loads(line) for line in (job / "metrics.jsonl").read_text().splitlines()]
    places = [(line["stage"], line["step"]) for line in lines]
    config = yaml.safe_load((job / "config.yaml").read_text())
    ends = {(stage, config[stage][key]) for stage, key in LENGTHS.items()}
    return len(places) == len(set(places)) and ends <= set(places)


def check(launcher: str, folder: Path, draws: random.Random) -> None:
    """Kill, start again, add jobs; print what is found."""
    log = folder.with_suffix(".log")
    seen: dict[str, int] = {}
    rerun = set[str]()
    for attempt in range(KILLS + 2):
        last = attempt == KILLS + 1
        process = start(EIGHT_MORE if last else WHOLE, folder, launcher, log)
        if attempt < KILLS:
            target = len(seen) + draws.randint(2, 5)
            while process.poll() is None and len(done(folder)) < target:
                time.sleep(0.2)
            time.sleep(draws.uniform(0.0, 3.0))
            kill_all(folder)
        code = process.wait()
        now = done(folder)
        rerun |= {job for job, when in seen.items() if now.get(job) != when}
        what = "8 more" if last else "killed" if attempt < KILLS else "to the end"
        print(
            f"{launcher}: {what}: {len(now)} of {32 if last else 24} done, {len(now) - len(seen)} of them new ({code=})"
        )
        seen = now
    whole = sum(is_whole(folder / job) for job in seen)
    attempts = [len(json.loads((folder / job / "run.json").read_text())["attempts"]) for job in seen]
    print(f"{launcher}: {len(seen)} jobs done, {whole} records whole, {len(rerun)} touched after they were done")
    print(f"{launcher}: {sum(attempts) - len(attempts)} jobs had been cut off and went on")


def main() -> None:
    """Check each launcher."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--launcher", nargs="+", default=["joblib"])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        os.environ |= {"MINARI_DATASETS_PATH": f"{place}/minari", "XDG_CACHE_HOME": f"{place}/cache"}
        for launcher in options.launcher:
            folder = Path(place) / launcher
            try:
                check(launcher, folder, random.Random(options.seed))
            except Exception:
                print(folder.with_suffix(".log").read_text()[-4000:])
                raise
            finally:
                kill_all(folder)


if __name__ == "__main__":
    main()
