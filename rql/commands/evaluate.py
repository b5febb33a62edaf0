"""`rql evaluate PATH`: play whole episodes with the policies of a run, and compare them."""

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import closing
from os import PathLike
from pathlib import Path
from typing import Any

from rql.commands.shared import Parser, check_new, errors_in_one_sentence, natural, positive
from rql.utils.errors import RQLError
from rql.utils.files import write_atomically


def evaluate(
    path: str | PathLike[str],
    policy: str = "all",
    mode: str = "mode",
    episodes: int | None = None,
    num_envs: int | None = None,
    seed: int | None = None,
) -> list[dict[str, Any]]:
    """Play whole episodes with the policies of a run, all from the same start states.

    Args:
        path: the folder of a run, or a file such as its `agent.pt`.
        policy: one of the agent, or `all`.
        mode: `mode` for the most probable actions, `sample`, or `both`.
        episodes: for each policy in each mode; by default as many as the run's own evaluations at the end of a stage.
        num_envs: played side by side; by default as in the run.
        seed: of start states and actions; by default the run's.

    Returns:
        For each policy in each mode: `policy`, `mode`, the metrics of docs/reference/metrics.md, and `returns`, one an
        episode.

    Raises:
        RQLError: if nothing can be read there, the agent has no such policy, or its environment cannot be made here.
    """
    from rql.agents.loading import open_agent
    from rql.evaluation.saved import Plan, compare

    with closing(open_agent(Path(path))) as saved:
        return compare(saved, Plan.of(saved, policy, mode, episodes, num_envs, seed))


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluate; the exit code."""
    options = _parser().parse_args(arguments)
    with errors_in_one_sentence():
        for path in (options.json, options.video):
            if path is not None:
                check_new(path)
        if options.json and options.json == options.video:
            raise RQLError(f"{options.json} cannot be both: --json and --video need a file each")
        _evaluate(options)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="rql evaluate", description=__doc__)
    parser.add_argument("path", type=Path, metavar="PATH", help="a run's folder, or a file such as its agent.pt")
    parser.add_argument("--policy", default="all", metavar="NAME", help="a policy of the agent, such as bc or final")
    parser.add_argument("--mode", choices=["mode", "sample", "both"], default="mode", help="how they act")
    parser.add_argument(
        "--episodes", type=positive, metavar="N", help="for each of them (default: the run's boundary_episodes)"
    )
    parser.add_argument(
        "--num-envs", type=positive, metavar="K", help="played side by side (default: the run's evaluation.num_envs)"
    )
    seeds = "of start states and actions (default: the run's, whose episodes are those of its own evaluations)"
    parser.add_argument("--seed", type=natural, metavar="S", help=seeds)
    parser.add_argument("--json", type=Path, metavar="FILE", help="a new file with the figures and every return")
    video = "a new .gif or .mp4 of the first episode, of the last policy that is played"
    parser.add_argument("--video", type=Path, metavar="FILE", help=video)
    return parser


def _evaluate(options: argparse.Namespace) -> None:
    # --help and a wrong argument need not wait for torch
    from rich.console import Console

    from rql.agents.loading import open_agent
    from rql.config.headline import HeadlineInfo
    from rql.evaluation.saved import Plan, compare, first_episode
    from rql.evaluation.video import check_format, open_camera, record
    from rql.reports.table import policies_table
    from rql.utils.processor import prepare_processor

    if options.video:
        check_format(options.video)
    with closing(open_agent(options.path)) as saved:
        prepare_processor(saved.config.threads)
        plan = Plan.of(saved, options.policy, options.mode, options.episodes, options.num_envs, options.seed)
        if options.video:
            with closing(open_camera(saved.config.env)) as camera:
                record(*first_episode(saved, plan), camera, options.video, saved.config.evaluation.max_episode_steps)
        figures = compare(saved, plan)
    if options.json:
        content = {"path": str(options.path), "env": saved.config.env.id, "seed": plan.seed, "policies": figures}
        write_atomically(options.json, (json.dumps(content, indent=1) + "\n").encode())
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    title, headline = f"{saved.config.env.task}, seed {plan.seed}", HeadlineInfo.of(saved.config.env.headline)
    console.print(policies_table(figures, saved.config.agent.policies, title, headline))
    if written := [str(path) for path in (options.json, options.video) if path]:
        console.print(f"written: {', '.join(written)}")
