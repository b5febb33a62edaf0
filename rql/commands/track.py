"""`rql track sync DIR…`: upload the runs that were logged to W&B offline, in order, each once."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rql.commands.shared import Parser, errors_in_one_sentence
from rql.config.explain import fail


def main(arguments: Sequence[str] | None = None) -> int:
    """Upload; the exit code."""
    options = _parser().parse_args(arguments)
    with errors_in_one_sentence():
        _sync(options.folders)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="rql track", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    sync = commands.add_parser("sync", help="upload offline runs to W&B", description=__doc__)
    sync.add_argument("folders", type=Path, nargs="+", metavar="DIR", help="a run's folder, a sweep's, or one above")
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
