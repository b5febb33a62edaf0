"""Kill runs with SIGKILL at random moments, go on, and compare with a run that nobody killed.

    python benchmarks/kills.py --kills 50 [--only pendulum iql]

A run is killed up to five times, at moments drawn at random over all stages; every fourth kill waits for a checkpoint
that is just being written. What is compared: the parameters, targets and optimiser moments of the last checkpoint,
every random generator and environment in it, the replay buffer, and `metrics.jsonl` but for the time.
"""

import argparse
import json
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # which the first gradient needs: a second that every process would spend
from hydra import compose, initialize_config_dir

from rql.agents.saving import read_checkpoint
from rql.commands.collect import main as collect
from rql.config.compose import load, register_schemas
from rql.config.schema import Config
from rql.data.replay_log import ReplayLog
from rql.runs.folder import Command
from rql.runs.run import run
from rql.utils.files import CHECKPOINTS
from rql.utils.tree import same

ROOT = Path(__file__).resolve().parents[1]
SHORT = [
    "tracking=disabled",
    "batch_size=32",
    "bc.updates=300",
    "offline.updates=200",
    "online.env_steps=400",
    "online.eval_every=100",
    "offline.eval_every=100",
    "tracking.log_every=20",
    "evaluation.episodes=2",
    "evaluation.boundary_episodes=2",
    "evaluation.num_envs=2",
    "checkpoint.steps=7",
]
COLLECTED = ["dataset=minari", "q.n_step=3", "replay.capacity=250", "beta=kl"]
SLOW = ["bc.updates=100", "offline.updates=100", "online.env_steps=200"]
DEMONSTRATED = ["dataset.episodes=2", "+env.kwargs.max_episode_steps=80"]
SERVER = f"{sys.executable} {ROOT}/examples/serve_policy.py 1"
SERVED = ["prior=process", f"prior.command='{SERVER}'", "bc.updates=0", "offline.updates=0"]
CHUNKS = ["policy=flow", "composition=residual", "cql=off", "chunk.length=4", "chunk.execute=3"]
OVERRIDES = {
    "pendulum": ["env=pendulum", "dataset.episodes=4", "env.num_envs=2", "online.noise_correlation=0.9"],
    "cartpole": ["env=cartpole", "dataset.episodes=4", "env.vectorization=subprocess", "online.overlap=true"],
    "hopper": ["env=hopper", "dataset.id=rql-kills/hopper-v0", *COLLECTED],
    "iql": ["agent=iql", "env=cartpole", "dataset.episodes=4"],
    "td3_bc": ["agent=td3_bc", "env=pendulum", "dataset.episodes=4"],
    "metaworld": ["env=metaworld_push", *SLOW, *DEMONSTRATED],
    "ogbench": ["env=ogbench_cube_single", *SLOW, *DEMONSTRATED],
    "chunks": ["env=pendulum", "dataset.episodes=4", "env.num_envs=2", *CHUNKS],
    "prior": ["experiment=finetune", "env=pendulum", "env.num_envs=2", *SERVED],
    "fetch": ["env=fetch_push", "dataset.id=rql-kills/fetch-v0", *SLOW, *COLLECTED],
}
"""Runs by name: residual Q-learning in three environments, with chunks of a flow, and over a policy in a process; other
agents, and robots.
"""
RANDOM = {"hopper": "hopper", "fetch": "fetch_push"}
"""Runs whose data are those of random actions, collected beforehand in an environment."""
KILLS_A_RUN = 5
IN_A_WRITE = 4
"""Every so many kills, one waits for a checkpoint that is being written."""

register_schemas()


def compose_config(overrides: list[str]) -> Config:
    """The configuration of these overrides."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return load(compose("config", overrides=overrides))


def start(config: Config, directory: Path) -> Any:
    """A process that runs the configuration, or goes on with it."""
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_run_silently, args=(config, directory))
    process.start()
    return process


def kill(process: Any, directory: Path, attempts: int, after: float, in_a_write: bool) -> bool:
    """Kill it so many seconds after it put itself on record as one more attempt than there were, or in the next write
    of a checkpoint after that; whether it was still running.
    """
    while process.is_alive() and _attempts(directory) <= attempts:
        process.join(0.002)
    process.join(after)
    while in_a_write and process.is_alive() and not list((directory / CHECKPOINTS).glob(".*.pt.*")):
        time.sleep(0.0002)
    alive: bool = process.is_alive()
    process.kill()
    process.join()
    return alive


def seconds(run: Path) -> float:
    """How long a finished run trained and evaluated."""
    elapsed: float = json.loads((run / "summary.json").read_text())["wall_seconds"]
    return elapsed


def differences(one: Path, other: Path) -> list[str]:
    """What differs between two finished runs."""
    found: list[str] = []
    if _metrics(one) != _metrics(other):
        found.append("metrics.jsonl")
    (tensors, progress, steps), (others, other_progress, other_steps) = map(_last, (one, other))
    found += [name for name in tensors if not torch.equal(tensors[name], others[name])]
    if not same(steps, other_steps):
        found.append("replay buffer")
    if not same(progress["stage_state"], other_progress["stage_state"]):
        found.append("state of the stage")
    return found


def leftovers(directory: Path) -> list[str]:
    """Files that were half written when the run was killed."""
    return [str(path) for path in directory.rglob(".*") if path.name != ".lock"]


def killed_run(config: Config, directory: Path, kills: int, seconds: float, draws: random.Random) -> int:
    """Go through a run that is killed so many times; how many kills hit it before it was over."""
    hits = 0
    for _ in range(kills):
        attempts = _attempts(directory)
        process = start(config, directory)
        hits += kill(process, directory, attempts, draws.uniform(0.0, seconds), draws.randrange(IN_A_WRITE) == 0)
    process = start(config, directory)
    process.join()
    assert process.exitcode == 0, f"the run in {directory} did not go on"
    return hits


def _run_silently(config: Config, directory: Path) -> None:
    with (directory.parent / f"{directory.name}.log").open("a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        run(config, directory, Command())


def _attempts(directory: Path) -> int:
    path = directory / "run.json"
    return len(json.loads(path.read_text())["attempts"]) if path.exists() else 0


def _metrics(directory: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "time"} for line in lines]


def _last(directory: Path) -> tuple[Any, Any, Any]:
    path = max((directory / CHECKPOINTS).glob("*-online-*-end.pt"))
    saved = read_checkpoint(path)
    tensors, progress = saved.tensors, saved.progress
    replay = progress["replay"]
    log = ReplayLog(directory / CHECKPOINTS / "replay")
    return tensors, progress, log.read(replay["files"], replay["kept"])


def _collect(name: str) -> None:
    sys.argv = ["collect", f"id=rql-kills/{name}-v0", f"env={RANDOM[name]}", "behaviour=random", "episodes=20"]
    sys.argv.append(f"hydra.run.dir={tempfile.mkdtemp()}")
    collect()


def main() -> None:
    """Kill, go on, compare, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(OVERRIDES), default=list(OVERRIDES))
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--override", nargs="+", default=[], help="for all runs, such as compile=on")
    options = parser.parse_args()
    draws = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"MINARI_DATASETS_PATH": f"{folder}/minari", "XDG_CACHE_HOME": f"{folder}/cache"}
        torch.set_num_threads(1)
        print("run          kills  runs  identical  whole run, s")
        for name in options.only:
            if name in RANDOM:
                _collect(name)
            config = compose_config([*SHORT, *OVERRIDES[name], *options.override])
            reference = Path(folder) / f"{name}-whole"
            start(config, reference).join()
            kills = runs = identical = 0
            while kills < options.kills:
                directory = Path(folder) / f"{name}-{runs}"
                wanted = min(KILLS_A_RUN, options.kills - kills)
                kills += killed_run(config, directory, wanted, seconds(reference) / 2, draws)
                runs += 1
                found = differences(reference, directory) + leftovers(directory)
                identical += not found
                if found:
                    print(f"{directory.name} differs in {', '.join(found)}")
                    shutil.copytree(directory, Path.cwd() / directory.name)
            print(f"{name:<11}  {kills:5d}  {runs:4d}  {identical:9d}  {seconds(reference):12.1f}")


if __name__ == "__main__":
    main()
