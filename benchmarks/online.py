"""Environment steps a second of SAC online in Hopper, acting, storing and learning: RQL, d3rlpy, stable-baselines3.

    pip install 'rql[sb3,mujoco]' && pip install --no-deps -r benchmarks/d3rlpy.txt
    python benchmarks/online.py [--utd 1 4] [--sizes 2x256]

Networks without layer normalisation, batches of 256, updates after the first 1,000 steps. All take turns on one core,
ours with the settings of `python run.py` and each peer in a process as it comes. What counts is processor time.
"""

import argparse
import logging
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from hydra import compose, initialize_config_dir
from one_update import PLAIN
from updates import SIZES, answer

WARMUP, UPDATES, ROUNDS, CAPACITY, BATCH, ENDLESS = 1_000, 400, 5, 100_000, 256, 1_000_000
Walk = Callable[[int], Any]
"""Makes so many steps of the environment, with the updates that follow each."""


def rql(precision: str, hidden: list[int], utd: int) -> Walk:
    """Ours."""
    from rql.agents.build import build_agent
    from rql.agents.statistics import Statistics
    from rql.config.compose import load, register_schemas
    from rql.runs.attempt import Trainers
    from rql.runs.setup import build
    from rql.utils.processor import prepare_processor

    prepare_processor(1)
    register_schemas()
    sizes = [f"network.{part}.hidden={hidden}" for part in ("actor", "critic")]
    own = ["experiment=scratch", *PLAIN[:-1], "agent=sac", "compile=on", f"precision={precision}", f"online.utd={utd}"]
    budget = [f"online.env_steps={ENDLESS}", f"online.warmup_fraction={WARMUP / ENDLESS}"]
    budget += [f"replay.capacity={CAPACITY}", f"batch_size={BATCH}"]
    with initialize_config_dir(str(Path(__file__).resolve().parents[1] / "conf"), version_base="1.3"):
        config = load(compose("config", overrides=[*own, *sizes, *budget]))
    stack = ExitStack()
    setup = build(config, stack)
    agent = build_agent(config, setup.spaces, setup.device)
    stage, state = agent.stages[-1], agent.init(Statistics.unknown(setup.spaces.obs_dim, setup.device))
    trainer = Trainers(agent, setup, None, stack).make(stage, stage.enter(state))

    def walk(steps: int) -> None:
        for _ in range(steps):
            trainer.advance()

    return walk


def sb3(hidden: list[int], utd: int) -> Walk:
    """stable-baselines3."""
    from stable_baselines3 import SAC

    how: Any = {"policy_kwargs": {"net_arch": hidden}, "batch_size": BATCH, "buffer_size": CAPACITY, "device": "cpu"}
    model = SAC("MlpPolicy", gymnasium.make("Hopper-v5"), learning_starts=WARMUP, gradient_steps=utd, **how)
    return partial(model.learn, reset_num_timesteps=False)


def d3rlpy(hidden: list[int], utd: int) -> Walk:
    """d3rlpy, which counts the steps of each call anew."""
    import structlog
    from d3rlpy.algos import SACConfig
    from d3rlpy.dataset import create_fifo_replay_buffer
    from d3rlpy.logging import NoopAdapterFactory
    from d3rlpy.models import VectorEncoderFactory

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    encoder = VectorEncoderFactory(hidden)
    how: Any = {"actor_encoder_factory": encoder, "critic_encoder_factory": encoder, "batch_size": BATCH}
    model, env = SACConfig(**how).create(device="cpu"), gymnasium.make("Hopper-v5")
    buffer = create_fifo_replay_buffer(CAPACITY, env=env)
    quiet: Any = {"logger_adapter": NoopAdapterFactory(), "show_progress": False, "n_steps_per_epoch": ENDLESS}

    def walk(steps: int) -> None:
        first = WARMUP if buffer.transition_count < WARMUP else 0
        model.fit_online(env, buffer, n_steps=steps, n_updates=utd, update_start_step=first, **quiet)

    return walk


CONTESTANTS: dict[str, Callable[[list[int], int], Walk]] = {
    "RQL": partial(rql, "float32"),
    "RQL, bf16": partial(rql, "bf16"),
    "d3rlpy": d3rlpy,
    "stable-baselines3": sb3,
}


def serve(pipe: Connection, build: Callable[[list[int], int], Walk], hidden: list[int], utd: int) -> None:
    """Give the rate whenever the pipe asks for it."""
    torch.set_num_threads(1)
    walk = build(hidden, utd)
    steps = UPDATES // utd
    walk(WARMUP + steps)
    while pipe.recv():
        started = time.process_time()
        walk(steps)
        pipe.send(steps / (time.process_time() - started))


def main() -> None:
    """Take turns, and print the median and the range of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utd", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["2x256"])
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    print(f"| network | UTD | | environment steps a second, median ({ROUNDS} rounds) | of the best peer's rate |")
    print("|---|---|---|---|---|")
    for size in options.sizes:
        for utd in options.utd:
            context, pipes = get_context("spawn"), {}
            for name, build in CONTESTANTS.items():
                pipes[name], there = context.Pipe()
                context.Process(target=serve, args=(there, build, SIZES[size], utd), daemon=True).start()
            rates = np.array([[answer(pipe, True) for pipe in pipes.values()] for _ in range(ROUNDS)])
            for pipe in pipes.values():
                pipe.send(False)
            middle = np.median(rates, axis=0)
            best = max(value for name, value in zip(pipes, middle, strict=True) if not name.startswith("RQL"))
            for name, value, column in zip(pipes, middle, rates.T, strict=True):
                spread = f"{value:,.0f} ({column.min():,.0f} to {column.max():,.0f})"
                print(f"| {size} | {utd} | {name} | {spread} | {value / best:.2f} |", flush=True)


if __name__ == "__main__":
    main()
