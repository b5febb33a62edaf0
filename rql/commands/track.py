"""`rql track sync DIR…` and `rql track workspace SWEEP`: offline runs to W&B, and a workspace that compares them."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rql.commands.shared import Parser, errors_in_one_sentence
from rql.config.explain import fail
from rql.utils.errors import RQLError

if TYPE_CHECKING:
    from rql.tracking.workspace import Runs

SYNC = "upload the runs that were logged to W&B offline, in order, each once"
WORKSPACE = "save a workspace in W&B that compares the runs of a sweep: curves, what matters, a table of runs"


def main(arguments: Sequence[str] | None = None) -> int:
    """Upload; the exit code."""
    options = _parser().parse_args(arguments)
    with errors_in_one_sentence():
        if options.command == "sync":
            _sync(options.folders)
        else:
            _workspace(options.folder, options.entity, options.name)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="rql track", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    sync = commands.add_parser("sync", help=SYNC, description=SYNC)
    sync.add_argument("folders", type=Path, nargs="+", metavar="DIR", help="a run's folder, a sweep's, or one above")
    workspace = commands.add_parser("workspace", help=WORKSPACE, description=WORKSPACE)
    workspace.add_argument("folder", type=Path, metavar="SWEEP", help="the folder of a sweep, such as multirun/NAME")
    workspace.add_argument(
        "--entity", help="whose project it is; tracking.entity of the sweep, or else the login's own"
    )
    workspace.add_argument("--name", help="of the workspace; that of the sweep's folder by default")
    return parser


def _sync(folders: Sequence[Path]) -> None:
    # --help and a wrong argument need not wait for torch and wandb
    from rql.tracking.sync import find_segments, upload_all

    segments = find_segments(folders)
    new = [segment for segment in segments if not segment.uploaded]
    old = len(segments) - len(new)
    if not new:
        print(f"nothing to upload: {old} of {len(segments)} offline logs are uploaded already")
        return
    failed = 0
    for segment, uploaded, said in upload_all(new):
        failed += not uploaded
        became = "uploaded" if uploaded else f"not uploaded: {said}"
        print(f"{segment.run_id}  {segment.log.parent}  {became}", flush=True)
    print(f"{len(new) - failed} uploaded now, {old} before, {failed} not")
    if failed:
        fail(f"{failed} of {len(new)} offline logs could not be uploaded; the same command tries them again")


def _workspace(folder: Path, entity: str | None, name: str | None) -> None:
    from rql.tracking.wandb import logged_in
    from rql.tracking.workspace import workspace_of

    if not logged_in():
        raise RQLError("no W&B login (`wandb login` makes one), and a workspace is kept there")
    import wandb

    runs = runs_of(folder, name)
    workspace_of(runs)  # what can be said without asking W&B
    try:
        owner = entity or runs.entity or wandb.Api().default_entity
        workspace = workspace_of(replace(runs, entity=owner or ""))
        workspace.save()
    except Exception as error:  # whatever the service or its library raises
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RQLError(f"W&B did not take the workspace {runs.name}: {reason}") from error
    print(f"the workspace is {workspace.url}")


def runs_of(folder: Path, name: str | None) -> "Runs":
    """The runs of the sweep in a folder, in a workspace of a name; the entity is empty where none was configured.

    Raises:
        RQLError: if there is no sweep.
    """
    from rql.config.agents.base import merged_stages
    from rql.config.headline import common
    from rql.runs.folder import read_agent_table, read_headline
    from rql.sweep.folder import jobs_of, read_sweep
    from rql.sweep.run import group_of
    from rql.tracking.workspace import Runs

    sweep, jobs = read_sweep(folder), jobs_of(folder)
    tracking = jobs[0].config["tracking"] if jobs else {}
    stages = merged_stages(read_agent_table(folder / job.folder) for job in jobs)
    headline = common(read_headline(folder / job.folder) for job in jobs)
    entity, project = tracking.get("entity") or "", tracking.get("project") or ""
    group = tracking.get("group") or group_of(folder)
    return Runs(name or folder.resolve().name, entity, project, group, sweep.swept, stages, headline)
