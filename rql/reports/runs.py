"""Runs from their local records: which there are, how each ended, what its evaluations were."""

import json
import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from rql.config.agents.base import AgentTable, StageInfo, baseline_of
from rql.config.headline import RETURN, HeadlineInfo
from rql.config.roles import experiment, flat
from rql.reports.evaluations import Evaluation, Traces, read_lines
from rql.runs.folder import JOB_FILE, JOB_LOCK_FILE, RUN_FILE, is_locked, read_agent_table, read_headline
from rql.runs.record import CHOICES, CONFIG_FILE, CONTACT_SHEET, METRICS_FILE, SUMMARY_FILE, VIDEOS
from rql.utils.errors import RQLError

Plain = dict[str, Any]
TASK_KEYS = ("env.kwargs.env_name", "env.id")
"""What names the task of a run; the first that there is."""
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where PyYAML was built with it


class RunStatus(Enum):
    """How far a run has come."""

    finished = "finished"
    running = "running"
    """Held by a process, as the lock of its job says."""
    unfinished = "unfinished"
    pruned = "pruned"
    failed = "failed"
    missing = "missing"
    """Planned as a job that never began."""
    damaged = "damaged"
    duplicate = "duplicate"
    """Finished, as a run of the same configuration was before it."""


@dataclass(frozen=True)
class Run:
    """One run, or one job that has not become one."""

    directory: Path
    status: RunStatus
    reason: str = ""
    config: Plain = field(default_factory=dict)
    """The configuration by dotted key; empty where there is none."""
    config_name: str = "config"
    overrides: tuple[str, ...] = ()
    choices: dict[str, str] = field(default_factory=dict)
    code_versions: tuple[str, ...] = ()
    """The version of the code at each attempt."""
    agent: AgentTable = field(default_factory=AgentTable)
    """The stages and policies that its run.json records; empty where it never began."""
    headline: HeadlineInfo = RETURN
    """By what its policies are compared, as its run.json records it."""
    evaluations: tuple[Evaluation, ...] = ()
    traces: Traces = field(default_factory=dict)
    summary: Plain = field(default_factory=dict)

    @property
    def task(self) -> str:
        """The environment's task by name, as `EnvConfig.task` says it; `unknown` without a configuration."""
        return next((str(self.config[key]) for key in TASK_KEYS if key in self.config), "unknown")

    @property
    def seed(self) -> int | None:
        """The run's seed."""
        return self.config.get("seed")

    @property
    def command(self) -> str:
        """The command that creates this run again, quoted for a shell."""
        name = ["-cn", self.config_name] if self.config_name != "config" else []
        mode = ["hydra.mode=RUN"] if any(override.startswith("sweep=") for override in self.overrides) else []
        return shlex.join(["python", "run.py", *name, *mode, *self.overrides])

    @cached_property
    def stages(self) -> list[StageInfo]:
        """The stages with an evaluation, in their order."""
        evaluated = {found.stage for found in self.evaluations}
        return [stage for stage in self.agent.stages if stage.name in evaluated]

    @property
    def baseline(self) -> StageInfo | None:
        """The stage whose policy the later ones are compared with."""
        return baseline_of(self.stages)

    @property
    def compared_stages(self) -> list[StageInfo]:
        """The stages with an evaluation, without the baseline."""
        return [stage for stage in self.stages if stage is not self.baseline]

    @property
    def films(self) -> list[Path]:
        """The films of the ends of its stages, in their order."""
        folder = self.directory / VIDEOS
        return [film for stage in self.agent.stages for film in sorted(folder.glob(f"{stage.name}.*"))]

    @property
    def contact_sheet(self) -> Path:
        """The pictures of its clone and its last stage, if it was filmed."""
        return self.directory / CONTACT_SHEET

    def at(self, stage: str) -> list[Evaluation]:
        """The evaluations of a stage, in the order of the record."""
        return [found for found in self.evaluations if found.stage == stage]


def read_runs(directories: Sequence[Path]) -> list[Run]:
    """Every run in, or anywhere below, the directories; each once, and of finished ones of the same configuration all
    but the first as duplicates.

    Raises:
        RQLError: if a directory is not there, or there is no run in any.
    """
    for directory in directories:
        if not directory.is_dir():
            raise RQLError(f"{directory} is no folder")
    found = {path.resolve(): path for directory in directories for path in _run_folders(directory)}
    if not found:
        searched = ", ".join(map(str, directories))
        raise RQLError(f"no run found in {searched}: a run's folder holds {CONFIG_FILE} or {JOB_FILE}")
    return _without_copies([read_run(path) for path in found.values()])


def _without_copies(runs: Sequence[Run]) -> list[Run]:
    """A run that two sweeps made, or that was made again, is one observation and not two."""
    first: dict[str, Run] = {}
    for run in runs:
        if run.status is RunStatus.finished:
            first.setdefault(_experiment(run), run)
    copied = {run.directory: first.get(_experiment(run), run) for run in runs if run.status is RunStatus.finished}
    return [
        replace(run, status=RunStatus.duplicate, reason=f"the same run as {copied[run.directory].directory}")
        if copied.get(run.directory, run) is not run
        else run
        for run in runs
    ]


def _experiment(run: Run) -> str:
    return json.dumps(experiment(run.config, run.choices), sort_keys=True)


def _run_folders(directory: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(directory):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if CONFIG_FILE in files or JOB_FILE in files:
            folders.clear()
            yield Path(parent)


def read_run(directory: Path) -> Run:
    """The run, or the job, in a folder; whatever is wrong with it is its status and reason."""
    recorded = _recorded(directory)
    job = _json(directory / JOB_FILE) or {}
    if not (directory / CONFIG_FILE).exists():
        status, reason = _status_of_job(directory, job, begun=False)
        planned = job.get("config")
        return Run(directory, status, reason, config=flat(planned) if isinstance(planned, dict) else {}, **recorded)
    try:
        config = yaml.load(_text(directory / CONFIG_FILE), Loader=_Loader)
        if not isinstance(config, dict):
            raise ValueError("it holds no configuration")
        config.pop(CHOICES, None)  # which run.json has too
    except (OSError, ValueError, yaml.YAMLError) as error:
        return Run(directory, RunStatus.damaged, f"{CONFIG_FILE}: {_first_line(error)}", **recorded)
    known: Plain = recorded | {"config": flat(config)}
    try:
        known |= {"agent": read_agent_table(directory), "headline": read_headline(directory)}
    except RQLError:
        return Run(directory, RunStatus.damaged, f"{RUN_FILE}: it does not say which stages the run has", **known)
    finished = (directory / SUMMARY_FILE).exists()
    try:
        lines = read_lines(directory / METRICS_FILE, known["headline"], cut_off=not finished)
        known["evaluations"], known["traces"] = lines
    except (OSError, ValueError) as error:
        return Run(directory, RunStatus.damaged, f"{METRICS_FILE}: {_first_line(error)}", **known)
    if not finished:
        return Run(directory, *_status_of_job(directory, job, begun=True), **known)
    return _finished(directory, known)


def _finished(directory: Path, known: Plain) -> Run:
    try:
        summary = json.loads(_text(directory / SUMMARY_FILE))
        if not isinstance(summary, dict):
            raise ValueError("it holds no summary")
    except (OSError, ValueError) as error:
        return Run(directory, RunStatus.damaged, f"{SUMMARY_FILE}: {_first_line(error)}", **known)
    run = Run(directory, RunStatus.finished, summary=summary, **known)
    if not run.stages:
        return Run(directory, RunStatus.damaged, f"{METRICS_FILE}: no evaluation of a stage in {RUN_FILE}", **known)
    return run


def _recorded(directory: Path) -> Plain:
    """The fields of a run that `run.json` has, which is nearer the truth, or else `job.json`."""
    described = _json(directory / RUN_FILE) or _json(directory / JOB_FILE) or {}
    attempts = [attempt for attempt in described.get("attempts", []) if isinstance(attempt, dict)]
    changes = [f"{key}={_hydra(now)}" for a in attempts for key, (_, now) in (a.get("changes") or {}).items()]
    return {
        "config_name": str(described.get("config_name", "config")),
        "overrides": (*map(str, described.get("overrides", [])), *changes),
        "choices": dict(described.get("choices", {})),
        "code_versions": tuple(str(attempt["code_version"]) for attempt in attempts if "code_version" in attempt),
    }


def _hydra(value: Any) -> str:
    """A value in Hydra's grammar of overrides."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _status_of_job(directory: Path, job: Plain, begun: bool) -> tuple[RunStatus, str]:
    said, error = str(job.get("status", "")), str(job.get("error") or "").strip()
    if said in ("failed", "pruned"):
        return RunStatus(said), error.splitlines()[-1] if error else ""
    if not begun:
        return RunStatus.missing, f"its job is {said}" if said else "its job.json cannot be read"
    if said == "running" and is_locked(directory / JOB_LOCK_FILE):
        return RunStatus.running, ""
    return RunStatus.unfinished, f"it has no {SUMMARY_FILE}"


def _json(path: Path) -> Plain | None:
    try:
        content = json.loads(_text(path))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _first_line(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or "cannot be read"
    return (str(error).strip() or type(error).__name__).splitlines()[0]
