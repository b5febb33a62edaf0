"""A run's folder: who is working in it, what it was told to do, and whether that can be changed now."""

import json
import logging
import os
import socket
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from rql.config.agents.base import AgentTable
from rql.config.compose import recorded_choices
from rql.config.headline import RETURN, HeadlineInfo
from rql.config.roles import Chosen, flat, is_read, may_change, with_schemas
from rql.runs.record import CHOICES, CONFIG_FILE, EPISODES, METRICS_FILE, SHEETS, SUMMARY_FILE, VIDEOS
from rql.utils.errors import RQLError
from rql.utils.files import CHECKPOINTS, code_version, read_json, remove_half_written, write_atomically
from rql.utils.text import written

RUN_FILE, LOCK_FILE = "run.json", ".lock"
JOB_FILE, JOB_LOCK_FILE = "job.json", ".job.lock"
"""Files of a run that is a job of a sweep."""

Changes = dict[str, tuple[Any, Any]]
Plain = dict[str, Any]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Command:
    """A command as the person typed it."""

    config_name: str = "config"
    overrides: list[str] = field(default_factory=list)
    choices: dict[str, str] = field(default_factory=dict)
    """The choice of every group, whether typed or not."""
    swept: dict[str, Any] = field(default_factory=dict)
    """The keys and groups that distinguish the runs of a sweep, with this run's values and choices."""


@dataclass(frozen=True)
class Identity:
    """The identity of a run in W&B, the same in all its attempts."""

    run_id: str
    choices: dict[str, str] = field(default_factory=dict)
    swept: dict[str, Any] = field(default_factory=dict)


def command_of(hydra: DictConfig) -> Command:
    """The command as the person typed it, `resume` aside; `hydra` is Hydra's part of what was composed."""
    typed = [override for override in typed_overrides(hydra, "task") if not override.startswith("resume=")]
    return Command(str(hydra.job.config_name), typed, recorded_choices(hydra))


def typed_overrides(hydra: DictConfig, of: str) -> list[str]:
    """The overrides of the `task`, or of `hydra` itself, letter by letter: `${seed}` stays what it is."""
    raw = OmegaConf.to_container(hydra.overrides[of], resolve=False)
    assert isinstance(raw, list)
    return [str(override) for override in raw]


def values_of(overrides: Iterable[str]) -> dict[str, str]:
    """The value of each key and group, as typed."""
    pairs = (override.lstrip("+").partition("=") for override in overrides)
    return {key: value for key, _, value in pairs}


def run_label(values: dict[str, Any]) -> str:
    """A run in a few words, from what distinguishes it from others: `beta=linear cql.alpha=0.0003 s1`."""
    named = [f"{key}={written(value)}" for key, value in values.items() if key != "seed"]
    return " ".join([*named, *([f"s{values['seed']}"] if "seed" in values else [])])


def is_locked(path: Path) -> bool:
    """Whether a process holds a lock; where that may not be tried, nobody can say that none does."""
    if not path.exists():
        return False
    try:
        with FileLock(path, blocking=False):
            return False
    except (Timeout, PermissionError):
        return True


class RunFolder:
    """The folder of one run, which no other process works in at the same time."""

    def __init__(self, directory: Path) -> None:
        """Take the folder.

        Raises:
            RQLError: if another process has it, or it cannot be written.
        """
        self.directory = directory
        self._lock = FileLock(directory / LOCK_FILE)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(blocking=False)
            for folder in (".", CHECKPOINTS, EPISODES, VIDEOS, SHEETS):
                remove_half_written(directory / folder)
        except Timeout as error:
            attempt = (self._described().get("attempts") or [{}])[-1]
            who = f"process {attempt.get('pid', 'unknown')} on {attempt.get('host', 'an unknown host')}"
            raise RQLError(f"{directory} is in use: {who} is running in it") from error
        except OSError as error:
            raise RQLError(f"the run cannot be recorded in {directory}: {error}") from error

    @property
    def holds_run(self) -> bool:
        """Whether a run was begun here."""
        return any((self.directory / name).exists() for name in (CONFIG_FILE, METRICS_FILE, SUMMARY_FILE))

    @property
    def finished(self) -> bool:
        """Whether that run came to its end."""
        return (self.directory / SUMMARY_FILE).exists()

    def changes(self, config: Plain, choices: dict[str, str]) -> Changes:
        """The keys, and the groups, that differ from those of the run here, with their values then and now.

        Raises:
            RQLError: if one of them cannot change in the middle of a run.
        """
        found = difference(read_config(self.directory), config, choices)
        found |= difference(with_schemas(read_command(self.directory).choices), with_schemas(choices), choices)
        refuse_fixed(self.directory, found, choices)
        return found

    def begin(
        self,
        command: Command,
        agent: AgentTable,
        headline: HeadlineInfo,
        changes: Changes,
        resumed_from: str | None,
        data: dict[str, int | str],
    ) -> Identity:
        """Record that an attempt begins.

        Args:
            command: what the person typed.
            agent: the stages and policies of the run.
            headline: by what its policies are compared.
            changes: what is another value than in the attempt before.
            resumed_from: the name of the checkpoint, if it goes on from one.
            data: the checksums of its data sets, and the digest of its prior.

        Raises:
            RQLError: if they were others when the run began, or nothing can be written.
        """
        attempt = {
            "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "code_version": code_version(),
            "resumed_from": resumed_from,
            "changes": changes,
        }
        begun: Plain = asdict(command) | agent.to_plain() | {"headline": headline.to_plain()}
        begun |= {"id": os.urandom(4).hex(), "data": data, "attempts": []}
        described = begun | self._described()
        described["swept"] |= command.swept  # the sweep may have been extended
        described["choices"] |= command.choices  # those that the agent does not read may have changed
        described["attempts"].append(attempt)
        changed = [name for name, known in described["data"].items() if data.get(name) != known]
        if changed:
            what = f"{' and '.join(changed)} changed since it began"
            raise RQLError(f"the run in {self.directory} cannot go on: {what}")
        try:
            write_atomically(self.directory / RUN_FILE, f"{json.dumps(described, indent=2)}\n".encode())
        except OSError as error:
            raise RQLError(f"the run cannot be recorded in {self.directory}: {error}") from error
        return Identity(described["id"], described["choices"], described["swept"])

    def release(self) -> None:
        """Let others work here."""
        if not self.holds_run:
            (self.directory / RUN_FILE).unlink(missing_ok=True)
            (self.directory / LOCK_FILE).unlink(missing_ok=True)
        self._lock.release()

    def _described(self) -> Plain:
        try:
            described: Plain = json.loads((self.directory / RUN_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return described


def read_config(directory: Path) -> Plain:
    """The plain configuration of the run in a folder, without the choices that are recorded beside it.

    Raises:
        RQLError: if there is none.
    """
    path = directory / CONFIG_FILE
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise RQLError(f"{directory} holds no run that can go on: {path} cannot be read") from error
    if not isinstance(config, dict):
        raise RQLError(f"{directory} holds no run that can go on: {path} is empty or damaged")
    config.pop(CHOICES, None)
    return config


def read_command(directory: Path) -> Command:
    """The command that began the run in a folder.

    Raises:
        RQLError: if it is not recorded there.
    """

    def build(described: Any) -> Command:
        return Command(*(described[name] for name in ("config_name", "overrides", "choices", "swept")))

    return read_json(directory / RUN_FILE, build, f"{directory} holds no run that can go on")


def read_agent_table(directory: Path) -> AgentTable:
    """The stages and policies of the run in a folder, of whatever agent; an empty table where none was begun.

    Raises:
        RQLError: if run.json is damaged.
    """
    path = directory / RUN_FILE
    try:
        return AgentTable.from_plain(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else AgentTable()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RQLError(f"{path} does not say which stages the run has: {error}") from error


def read_headline(directory: Path) -> HeadlineInfo:
    """By what the policies of the run in a folder are compared; the return where run.json does not say.

    Raises:
        RQLError: if run.json is damaged.
    """
    path = directory / RUN_FILE
    try:
        described = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return HeadlineInfo(**described.get("headline", RETURN.to_plain()))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise RQLError(f"{path} does not say what the headline of the run is: {error}") from error


def refuse_fixed(directory: Path, changes: Changes, choices: Chosen) -> None:
    """Refuse what would make another run of it.

    Raises:
        RQLError: if one of the changes cannot be made in the middle of a run.
    """
    fixed = {key: values for key, values in changes.items() if not may_change(key, choices)}
    if fixed:
        listed = ", ".join(f"{key} ({then} → {now})" for key, (then, now) in fixed.items())
        remedy = "hydra.run.dir=FOLDER names another place"
        raise RQLError(f"{directory} holds a run that began with other values: {listed}; {remedy}")


def difference(then: Plain, now: Plain, choices: Chosen) -> Changes:
    """The dotted keys whose values differ, `resume` and what the agent does not read aside."""
    before, after = flat(then), flat(now)
    keys = [key for key in before | after if key != "resume" and is_read(key, choices)]
    return {key: (before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)}
