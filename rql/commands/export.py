"""`rql export PATH --to FORMAT --out FILE`: a policy as a file that runs without this package."""

import argparse
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from rql.commands.shared import Parser, check_new, errors_in_one_sentence
from rql.utils.files import write_atomically


def main(arguments: Sequence[str] | None = None) -> int:
    """Export; the exit code."""
    options = _parser().parse_args(arguments)
    with errors_in_one_sentence():
        check_new(options.out)
        _export(options)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="rql export", description=__doc__)
    parser.add_argument("path", type=Path, metavar="PATH", help="a run's folder, or a file such as its agent.pt")
    parser.add_argument("--to", choices=["torchscript", "onnx", "torch.export"], required=True, help="the format")
    parser.add_argument("--out", type=Path, metavar="FILE", required=True, help="a new file")
    parser.add_argument("--policy", metavar="NAME", help="a policy of the agent (default: the one that was finetuned)")
    return parser


def _export(options: argparse.Namespace) -> None:
    # --help and a wrong argument need not wait for torch
    from rql.agents.exporting import CHECKED, INPUT, OUTPUT, check_packages, export_policy
    from rql.agents.loading import open_agent
    from rql.data.columns import PROPOSALS
    from rql.priors.base import asked_for

    check_packages(options.to)
    with closing(open_agent(options.path)) as saved:
        policy = saved.main_policy if options.policy is None else options.policy
        saved.check_policy(policy)
        content = export_policy(saved, policy, options.to)
    write_atomically(options.out, content)
    shapes = f"{INPUT} (B, {saved.spaces.obs_dim}) float32"
    if saved.prior is not None and saved.prior.module is None:
        wide = f"(B, {asked_for(saved.config)[0]}, {saved.decided.width}) float32 in [-1, 1]"
        shapes += f" and {PROPOSALS} {wide}, those of {saved.prior.name},"
    chunk = saved.config.chunk
    shapes += f" to {OUTPUT}"
    if chunk.length > 1:
        first = "" if chunk.executed == chunk.length else f", of which the first {chunk.executed} are made"
        shapes += f" (B, {chunk.length}, …), {chunk.length} actions for the next steps{first}"
    shapes += f", within {saved.spaces.action.bounds}"
    print(f"{options.out}: {shapes}; acts as the agent does at {CHECKED:,} observations")
