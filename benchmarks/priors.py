"""What finetuning adds to policies of stable-baselines3 that were stopped half-way.

    pip install 'rql[manipulation,sb3]'
    python benchmarks/priors.py FOLDER hopper [--seeds 5]
    python benchmarks/priors.py FOLDER reach

FOLDER holds the policy, which is trained until it reaches what `STOP` says, and the runs; what is there already is not
made again. The prior and what was finetuned act at their mode in the same 50 episodes, from starts that training never
met.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import stable_baselines3
import torch
from runs import run, summary

from rql.config.data import EnvConfig
from rql.envs.make import make_env
from rql.envs.success import success_of

EPISODES = 20
"""In which a policy that is trained is tried, after every so many steps."""
HOPPER = EnvConfig("Hopper-v5")
REACH = EnvConfig("rql/MetaWorld-v3", kwargs={"env_name": "reach-v3"})
STOP = {"hopper": ("return", 900.0), "reach": ("success_rate", 0.3)}
"""The return, or the share of episodes that succeed, at which training stops."""
FINETUNED = {
    "hopper": [
        *("env=hopper", "prior.algorithm=PPO", "online.env_steps=25000", "online.eval_every=2500"),
        "beta.end_share=0.63",
    ],
    "reach": [
        *("env=metaworld_reach", "dataset=none", "reward=raw", "online.env_steps=50000", "q.learning_rate=1e-3"),
        *("q.tau=0.01", "composition.width=0.2", "composition.scale=0.5", "beta.end_share=0.32"),
    ],
}
"""What each run has beside `experiment=finetune`."""


def untrained(task: str) -> tuple[Any, int]:
    """The policy before training, and the steps after which it is tried."""
    if task == "hopper":
        return stable_baselines3.PPO("MlpPolicy", gymnasium.make(HOPPER.id), seed=1, device="cpu"), 10_240
    small: dict[str, Any] = {"net_arch": [128, 128]}
    how: dict[str, Any] = {"seed": 0, "device": "cpu", "learning_starts": 1000, "policy_kwargs": small}
    return stable_baselines3.SAC("MlpPolicy", make_env(REACH), **how), 2500


def tried(model: Any, env: gymnasium.Env[Any, Any]) -> dict[str, float]:
    """The mean return of a policy at its mode, and the share of its episodes that succeed."""
    returns, successes = [], []
    for number in range(EPISODES):
        obs, _ = env.reset(seed=5000 + number)
        total, succeeded, ended = 0.0, False, False
        while not ended:
            obs, reward, terminated, truncated, info = env.step(model.predict(obs, deterministic=True)[0])
            total, ended = total + float(reward), terminated or truncated
            succeeded = succeeded or bool(success_of(info))
        returns.append(total)
        successes.append(succeeded)
    return {"return": float(np.mean(returns)), "success_rate": float(np.mean(successes))}


def half_trained(task: str, path: Path) -> Path:
    """The file of a policy that was stopped half-way, trained now if it is not there."""
    if path.exists():
        return path
    (model, steps), (what, enough) = untrained(task), STOP[task]
    with make_env(HOPPER if task == "hopper" else REACH) as env:
        while (found := tried(model, env)[what]) < enough:
            print(f"after {model.num_timesteps:,} steps: {what} {found:.4g}", flush=True)
            model.learn(steps, reset_num_timesteps=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)
    print(f"stopped after {model.num_timesteps:,} steps with {what} {found:.4g}", flush=True)
    return path


def main() -> None:
    """Train, finetune, and print a row for each seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("task", choices=STOP)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    policy = half_trained(options.task, options.folder / f"{options.task}.zip")
    given = ["experiment=finetune", "prior=sb3", f"prior.path={policy}", "prior.trusted=true"]
    what = STOP[options.task][0]
    shown: Callable[[float], str] = (lambda value: f"{value:.0%}") if what == "success_rate" else "{:,.0f}".format
    print("| seed | prior | finetuned |\n|---|---|---|")
    ends = []
    for seed in range(options.seeds):
        overrides = [*given, *FINETUNED[options.task], f"seed={seed}"]
        found = summary(run(options.folder / f"{options.task}-{seed}", overrides))
        ends.append([found[f"bc/{what}"], found[f"online/{what}"]])
        print(f"| {seed} | {shown(ends[-1][0])} | {shown(ends[-1][1])} |", flush=True)
    before, after = np.array(ends).T
    print(f"| mean | {shown(before.mean())} | {shown(after.mean())} |")
    print(f"\nabove the prior: {(after > before).sum()} of {len(ends)} seeds")


if __name__ == "__main__":
    main()
