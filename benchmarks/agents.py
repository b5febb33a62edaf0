"""Every agent beside the clone: returns at the end of each stage, on several seeds, of runs that are made side by side.

    python benchmarks/agents.py FOLDER pendulum
    python benchmarks/agents.py FOLDER hopper --dataset ID

FOLDER holds the runs; those that are there already are not made again.
"""

import argparse
from pathlib import Path

import numpy as np
from runs import run_all, summary

AGENTS = ("bc", "awac", "iql", "td3_bc", "rebrac", "cql", "cal_ql", "edac", "sac", "resfit", "expo", "rql")
TASKS = {
    "pendulum": ["evaluation.boundary_episodes=50"],
    "hopper": [
        *("env=hopper", "dataset=minari", "budget=short", "batch_size=256", "evaluation.boundary_episodes=20"),
        *("network.actor.hidden=[128,128]", "network.critic.hidden=[128,128]", "online.eval_every=5000"),
        *("offline.updates=50000", "offline.eval_every=10000", "online.env_steps=20000"),
    ],
}
OF_AGENT = {
    "rql": {"hopper": ["experiment=hopper_medium", "dataset=minari"]},
    "iql": {"hopper": ["reward=return_range"]},  # as its authors do
}
"""What an agent needs beside the overrides of the task."""


def jobs(folder: Path, task: str, dataset: str | None, agents: list[str], seeds: int) -> dict[Path, list[str]]:
    """Folder and overrides of each run."""
    found = {}
    for agent in agents:
        for seed in range(seeds):
            named = [f"dataset.id={dataset}"] if dataset else []
            own = OF_AGENT.get(agent, {}).get(task, [])
            overrides = [f"agent={agent}", *own, *TASKS[task], *named, f"seed={seed}"]
            found[folder / f"{task}-{agent}-{seed}"] = overrides
    return found


def main() -> None:
    """Run, and print a row for each agent and stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--dataset", metavar="ID", help="the Minari data set of the task")
    parser.add_argument("--agents", nargs="+", choices=AGENTS, default=list(AGENTS))
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    found = jobs(options.folder, options.task, options.dataset, options.agents, options.seeds)
    run_all(found)
    clone = np.array(
        [summary(options.folder / f"{options.task}-bc-{seed}")["bc/return"] for seed in range(options.seeds)]
    )
    print(f"| {options.task} | stage | return, mean ± std over seeds | each seed | seeds above the clone |")
    print("|---|---|---|---|---|")
    for agent in options.agents:
        summaries = [summary(options.folder / f"{options.task}-{agent}-{seed}") for seed in range(options.seeds)]
        for stage in ("bc", "offline", "online"):
            if f"{stage}/return" in summaries[0]:
                returns = np.array([one[f"{stage}/return"] for one in summaries])
                each = ", ".join(f"{value:,.0f}" for value in returns)
                above = f"{(returns > clone).sum()} of {len(clone)}" if stage != "bc" else ""
                print(f"| {agent} | {stage} | {returns.mean():,.0f} ± {returns.std():,.0f} | {each} | {above} |")


if __name__ == "__main__":
    main()
