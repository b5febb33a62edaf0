"""Uploading what was logged to W&B offline: by `wandb sync`, every log once, the oldest first."""

import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from rql.runs.folder import LOCK_FILE
from rql.utils.errors import RQLError

OWN = ("WANDB_MODE", "WANDB_SERVICE")
"""Variables that `wandb sync` must not inherit: it uploads whatever the mode of new runs is, in its own process."""
FOLDER = re.compile(r"offline-run-(?P<started>\d{8}_\d{6})-")
ANSWER_SECONDS = 10.0
PATIENCE_SECONDS = 30.0
"""After so long an upload has to show that the server is still there."""


class Segment(NamedTuple):
    """The W&B log of one attempt of a run; in the order of their creation."""

    started: str
    log: Path

    @property
    def run_id(self) -> str:
        """The id that all segments of a run share."""
        return self.log.stem.removeprefix("run-")

    @property
    def uploaded(self) -> bool:
        """Whether wandb says that it was uploaded."""
        return self.log.with_suffix(".wandb.synced").exists()

    @property
    def in_use(self) -> bool:
        """Whether the run is still going on: what it logs later would be lost if this was uploaded now."""
        lock = self.log.parents[2] / LOCK_FILE
        if not lock.exists():
            return False
        try:
            with FileLock(lock, blocking=False):
                return False
        except Timeout:
            return True


class Result(NamedTuple):
    """The outcome of an upload."""

    segment: Segment
    uploaded: bool
    said: str


def find_segments(folders: Iterable[Path]) -> list[Segment]:
    """All offline segments below the folders, the oldest first.

    Raises:
        RQLError: if there is no such folder.
    """
    found = set()
    for folder in folders:
        if not folder.is_dir():
            raise RQLError(f"there is no folder {folder}")
        for log in folder.resolve().rglob("offline-run-*/*.wandb"):
            if named := FOLDER.match(log.parent.name):
                found.add(Segment(named["started"], log.resolve()))  # `latest-run` links to one of them
    return sorted(found)


def upload_all(segments: list[Segment]) -> Iterator[Result]:
    """Upload the segments in order; where one cannot be, the later ones of its run wait, so that nothing is mixed up.

    Raises:
        RQLError: if there is no login, or W&B cannot be reached.
    """
    server = check_login()
    check_reachable(server)
    waiting: set[str] = set()
    for segment in segments:
        if segment.run_id in waiting:
            yield Result(segment, False, "waits for the one before")
        elif segment.in_use:
            waiting.add(segment.run_id)
            yield Result(segment, False, "is still being written; sync it when the run has ended")
        else:
            said = upload(segment.log, server)
            if not segment.uploaded:
                waiting.add(segment.run_id)
                check_reachable(server)
            yield Result(segment, segment.uploaded, said)


def check_login() -> str:
    """The address of the server that the person is logged in to.

    Raises:
        RQLError: if there is no login.
    """
    import wandb

    settings = wandb.setup(wandb.Settings(mode="online", silent=True)).settings
    try:
        logged_in = wandb.login(prompt=False, verify=False)
    except Exception as error:  # a key of the wrong form
        raise RQLError(f"the W&B login cannot be used: {str(error).splitlines()[0]}") from error
    finally:
        wandb.teardown()
    if not logged_in:
        raise RQLError("there is no W&B login, so nothing was uploaded; `wandb login` makes one")
    return str(settings.base_url)


def check_reachable(server: str) -> None:
    """Ask the server for anything at all; `wandb sync` itself would try for hours.

    Raises:
        RQLError: if there is no answer.
    """
    try:
        urllib.request.urlopen(server, timeout=ANSWER_SECONDS).close()
    except urllib.error.HTTPError:
        return
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise RQLError(f"W&B cannot be reached at {server} ({reason}); what is not uploaded yet stays so") from error


def upload(log: Path, server: str) -> str:
    """Have `wandb sync` upload a log, and mark it as uploaded if that worked; its last words.

    Raises:
        RQLError: if the server is lost on the way.
    """
    command = [sys.executable, "-m", "wandb", "sync", str(log)]
    environment = {name: value for name, value in os.environ.items() if name not in OWN}
    output = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT, text=True) as process:
        try:
            said = _last_words(process, server)
        except BaseException:
            process.kill()
            raise
    return said or f"wandb sync ended with exit code {process.returncode}"


def _last_words(process: subprocess.Popen[str], server: str) -> str:
    while True:
        try:
            lines = process.communicate(timeout=PATIENCE_SECONDS)[0].strip().splitlines()
        except subprocess.TimeoutExpired:
            check_reachable(server)
        else:
            return lines[-1].removeprefix("wandb: ") if lines else ""
