"""Records of runs that were never made: what a report, or a curve, reads of a run."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from rql.config.agents.base import AgentTable
from rql.config.agents.rql import RQLConfig
from rql.config.headline import SUCCESS

RQL = AgentTable.of(RQLConfig())
LINEAR = {"start": 0.1, "end": 1.0, "start_share": 0.0, "end_share": 1.0}
Point = tuple[str, int, float]
"""An evaluation: stage, step and return."""


def points_of(seed: int, gain: float) -> list[Point]:
    """The evaluations of a run of RQL: π_BC at 100, offline at 110 + seed, then online 60 to 150 + 10 seed + gain."""
    offline: list[Point] = [("offline", 5, 70.0), ("offline", 10, 110.0 + seed)]
    return [("bc", 10, 100.0), *offline, ("online", 50, 60.0), ("online", 100, 150.0 + 10.0 * seed + gain)]


def write_run(folder: Path, seed: int, config: dict[str, Any] | None = None, **more: Any) -> Path:
    """Write the records of a finished run, by default one of RQL with `points_of` its seed and `gain`.

    With `successes`, of 20 episodes at each of the points, success is its headline.
    """
    env, successes = more.get("env", "Pendulum-v1"), more.get("successes")
    agent: AgentTable = more.get("agent", RQL)
    points: Sequence[Point] = more.get("points") or points_of(seed, more.get("gain", 0.0))
    plain = {
        "env": {"id": env, "kwargs": {}},
        "cql": {"alpha": 1e-3},
        "beta": LINEAR,
        "tracking": {"name": f"run {seed}"},
        "threads": seed + 1,
        "seed": seed,
    }
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(plain | (config or {})))
    evaluations = _evaluations(points, more.get("scored", False), successes)
    lines = [*evaluations, *more.get("lines", [])]
    lines.insert(1, {"stage": agent.stages[-1].name, "step": 1, "time": 1.0, "td_loss": 0.5})
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    summary = {"wall_seconds": 60.0 + seed, "env_steps_per_second": 50.0, "seed": seed}
    for line in evaluations:
        summary |= {f"{line['stage']}/{name}": value for name, value in line.items() if name not in ("stage", "step")}
    (folder / "summary.json").write_text(json.dumps(summary))
    attempt = {"started": "2026-01-01T00:00:00+00:00", "host": "h", "code_version": "0.1.0+gabc", "changes": {}}
    overrides = more.get("overrides", [f"seed={seed}"])
    choices = {"dataset": "demo", "beta": "linear", "composition": "amortized"} | more.get("choices", {})
    recorded = {"config_name": "config", "overrides": overrides, "choices": choices, "swept": {}, "attempts": [attempt]}
    headline = {"headline": SUCCESS.to_plain()} if successes else {}
    (folder / "run.json").write_text(json.dumps(recorded | agent.to_plain() | headline))
    return folder


def _evaluations(points: Sequence[Point], scored: bool, successes: Sequence[int] | None) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = [
        {"stage": stage, "step": step, "time": step, "return": value, "return_std": 5.0}
        for stage, step, value in points
    ]
    if scored:
        lines = [line | {"normalized_score": line["return"] / 2.0} for line in lines]
    if successes:
        rates = [{"success_rate": count / 20, "return_episodes": 20.0} for count in successes]
        lines = [line | rate | SUCCESS.recorded(rate) for line, rate in zip(lines, rates, strict=True)]
    return lines


def write_job(folder: Path, status: str, overrides: list[str], error: str | None = None, **more: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    job = {"id": folder.name, "overrides": overrides, "status": status, "started": None, "ended": None, "error": error}
    (folder / "job.json").write_text(json.dumps(job | more))


def write_sweep(folder: Path) -> Path:
    """Two arms × three seeds, and a run that failed, one that is missing, one damaged, one killed."""
    for seed in range(3):
        for alpha in (1e-3, 1e-2):
            name = f"{alpha:g}-{seed}"
            overrides = [f"cql.alpha={alpha}", f"seed={seed}", "tracking.notes='it''s <b>here</b> | $x'"]
            gain = 40.0 if alpha == 1e-2 else 0.0
            write_run(folder / name, seed, {"cql": {"alpha": alpha}}, gain=gain, overrides=overrides)
            write_job(folder / name, "done", overrides)
    failed = write_run(folder / "failed", 3, {"cql": {"alpha": 1e-2}})
    (failed / "summary.json").unlink()
    write_job(failed, "failed", ["seed=3"], "Traceback\nRuntimeError: out of <memory>")
    write_job(folder / "missing", "queued", ["seed=4", "+env.kwargs.x='a b'"])
    damaged = write_run(folder / "damaged", 5)
    (damaged / "metrics.jsonl").write_text('{"stage": "bc", "st')
    killed = write_run(folder / "killed", 6)
    (killed / "summary.json").unlink()
    with (killed / "metrics.jsonl").open("a") as lines:
        lines.write('{"stage": "online", "step": 150, "ret')
    return folder


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))
