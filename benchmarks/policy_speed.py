"""Microseconds a step on one core, one observation at a time, Hopper shapes, networks of 2×256: each way to act.

pip install 'rql[onnx]'
python benchmarks/policy_speed.py
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from hydra import compose, initialize_config_dir

from rql import load_policy
from rql.agents.build import build_agent
from rql.agents.exporting import FORMATS, export_policy, load_exported
from rql.agents.loading import open_agent
from rql.agents.saving import AGENT_FILE, save_agent
from rql.agents.statistics import Statistics
from rql.config.compose import load, register_schemas
from rql.envs.make import inspect_env

CONFIGURATION = Path(__file__).resolve().parents[1] / "conf"
COMPOSITIONS = {
    "amortized": ["composition=amortized"],
    "resample, 32 candidates": ["composition=resample", "target=max"],
}
STEPS, ROUNDS = 500, 7


def save(overrides: list[str], folder: Path) -> Path:
    """An agent that has learned nothing: it acts as fast as any."""
    register_schemas()
    fixed = ["env=hopper", "network.actor.hidden=[256,256]", "network.critic.hidden=[256,256]"]
    with initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
        config = load(compose("config", overrides=[*fixed, *overrides]))
    spaces, env = inspect_env(config.env)
    env.close()
    agent = build_agent(config, spaces, torch.device("cpu"))
    state = agent.init(Statistics.unknown(spaces.obs_dim, torch.device("cpu")))
    save_agent(folder / AGENT_FILE, state, config, "online")
    return folder


def ways(folder: Path, obs: Any) -> dict[str, Callable[[], Any]]:
    """One action for one observation, by the name of the way."""
    policy, saved = load_policy(folder), open_agent(folder)
    flat = torch.from_numpy(obs).float().unsqueeze(0)
    found: dict[str, Callable[[], Any]] = {"rql.load_policy": lambda: policy(obs)}
    for to in FORMATS:
        act = load_exported(export_policy(saved, "final", to), to)
        found[to] = lambda act=act: act(flat)  # type: ignore[misc]
    return found


def microseconds(act: Callable[[], Any]) -> float:
    """Of one step."""
    started = time.perf_counter()
    for _ in range(STEPS):
        act()
    return 1e6 * (time.perf_counter() - started) / STEPS


def main() -> None:
    """Take turns, and print the median and the range of each."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with gymnasium.make("Hopper-v5") as env:
        obs = env.reset(seed=0)[0]
    print(f"| composition | way | µs a step, median ({ROUNDS} rounds of {STEPS}) |")
    print("|---|---|---|")
    for title, overrides in COMPOSITIONS.items():
        with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
            acts = ways(save(overrides, Path(folder)), obs)
            rounds = np.array([[microseconds(act) for act in acts.values()] for _ in range(ROUNDS + 1)])
        for way, column in zip(acts, rounds[1:].T, strict=True):  # the first one warms up
            print(f"| {title} | {way} | {np.median(column):,.0f} ({column.min():,.0f} to {column.max():,.0f}) |")


if __name__ == "__main__":
    main()
