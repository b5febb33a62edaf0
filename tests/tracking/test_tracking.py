"""The record of a run, and W&B as a view of it that may fail."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import wandb
from conftest import ROOT, SHORT_EPISODES, TINY, Cli, compose_config, inspected, metrics_of, summary_of

from rql.config.agents.base import CLONING
from rql.config.choices import WandbMode
from rql.config.running import TrackingConfig
from rql.runs.folder import Command, Identity
from rql.runs.record import LocalRecord, Position
from rql.runs.run import end_of, run
from rql.tracking.swept import name_of, tags_of, with_swept
from rql.tracking.wandb import RunEnd, WandbView
from rql.utils.errors import ConfigError, Preempted, PrunedError, RQLError
from rql.utils.files import write_atomically


def test_the_record_is_written_line_by_line_and_goes_on_from_a_position(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    record = LocalRecord(tmp_path / "run", {"seed": 1}, Position())
    record.log("bc", 10, {"loss": 0.5})
    assert (line := metrics_of(tmp_path / "run")[0]).pop("time") >= 0
    assert line == {"stage": "bc", "step": 10, "loss": 0.5}
    assert not (tmp_path / "run" / "summary.json").exists()
    position = record.position()
    record.log("bc", 20, {"loss": 0.25})
    record.finish({"bc/return": 1.0})
    assert summary_of(tmp_path / "run") == {"bc/return": 1.0}
    again = LocalRecord(tmp_path / "run", {"seed": 1}, Position(position.bytes, 100.0))
    assert not (tmp_path / "run" / "summary.json").exists()
    again.log("bc", 20, {"loss": 0.125})
    lines = metrics_of(tmp_path / "run")
    assert [line.get("loss") for line in lines] == [0.5, 0.125] and lines[1]["time"] >= 100.0


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "summary.json"
    write_atomically(path, b"old")

    def full(_: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_atomically(path, b"new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_an_offline_wandb_run_holds_all_that_is_recorded_under_the_documented_names(cli: Cli) -> None:
    directory = cli(*SHORT_EPISODES, "tracking=offline", "tracking.group=grid", "tracking.name=first")
    (log,) = directory.glob("wandb/offline-run-*/*.wandb")
    shown, recorded = inspected(log, "--summary"), summary_of(directory)
    text, summary = json.dumps(shown), shown[0]["summary"]
    for name in ("bc/return", "offline/return", "online/return", "online/normalized_score", "wall_seconds"):
        assert (f'"{name}"' in text) == (name in recorded), name
    for name in ("bc/update", "offline/update", "online/env_step", "offline/td_loss", "Pendulum-v1", "grid", "first"):
        assert name in text, name
    assert summary["state"] == "finished"
    for name in ("best/step", "best/return", "best/stage", "online/gain", "offline/gain", "online/baseline_return"):
        assert summary[name] == recorded[name], name
    assert recorded["online/gain"] == recorded["online/return"] - recorded["bc/return"]
    evaluated = [line for line in metrics_of(directory) if "return" in line and line["stage"] != "bc"]
    best = max(evaluated, key=lambda line: line["return"])
    found = (recorded["best/stage"], recorded["best/step"], recorded["best/return"])
    assert found == (best["stage"], best["step"], best["return"])
    assert all(line["baseline_return"] == recorded["bc/return"] for line in evaluated)
    files = log.parent / "files"
    table = json.loads((files / summary["online/episodes"]["path"]).read_text())
    rows = (directory / "episodes" / "online.csv").read_text().splitlines()
    assert table["columns"] == rows[0].split(",") == ["mode", "seed", "return", "length", "success"]
    assert len(rows) == 1 + 2 * 2 and [float(row.split(",")[2]) for row in rows[1:]] == [
        row[2] for row in table["data"]
    ]
    config = (files / "run-config.yaml").read_text()
    assert config == (directory / "config.yaml").read_text() and "beta: linear" in config
    printed = "".join(one["output_raw"]["line"] for one in inspected(log) if one["type"] == "output_raw")
    assert "Pendulum-v1: " in printed and "π_final, finetuned" in printed


@pytest.mark.parametrize(
    ("end", "state", "code", "preempting"),
    [
        (PrunedError(5, 1.0), "pruned", 0, False),
        (Preempted("SIGTERM"), "preempted", 1, True),
        (RQLError("a full disk"), "failed", 1, False),
    ],
    ids=["pruned", "preempted", "failed"],
)
def test_wandb_is_told_how_a_run_ended(
    end: BaseException, state: str, code: int, preempting: bool, tmp_path: Path
) -> None:
    view = WandbView(TrackingConfig(mode=WandbMode.offline), tmp_path, {}, Identity("a1b2c3d4"))
    view.finish({"bc/return": 1.0}, end_of(type(end)))
    (log,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    records = inspected(log)
    assert {"exit_code": code} in [{"exit_code": one["exit"].get("exit_code", 0)} for one in records if "exit" in one]
    assert any(one["type"] == "preempting" for one in records) == preempting
    assert inspected(log, "--summary")[0]["summary"]["state"] == state


def test_wandb_that_cannot_start_or_breaks_never_ends_a_run(
    cli: Cli, monkeypatch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("the service is down")

    monkeypatch.setattr(wandb, "init", broken)
    directory = cli(*TINY, "tracking=offline", "online.env_steps=0")
    assert "offline/return" in summary_of(directory)


def test_a_wandb_that_breaks_half_way_is_left_alone(tmp_path: Path, monkeypatch: Any, caplog: Any) -> None:
    view = WandbView(TrackingConfig(mode=WandbMode.offline), tmp_path, {}, Identity("a1b2c3d4"))

    def broken(*_: Any, **__: Any) -> None:
        raise BrokenPipeError("gone")

    monkeypatch.setattr(type(view._run), "log", broken)
    with caplog.at_level(logging.WARNING):
        view.log(CLONING, 1, {"loss": 1.0})
        view.log(CLONING, 2, {"loss": 1.0})
    assert sum("gone" in message for message in caplog.messages) == 1
    view.finish({}, RunEnd.finished)
    wandb.teardown()


@pytest.mark.parametrize(("mode", "logged"), [(WandbMode.auto, False), (WandbMode.offline, True)])
def test_wandb_disabled_in_the_environment_counts_where_the_configuration_leaves_it_open(
    mode: WandbMode, logged: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_DISABLED", "true")
    view = WandbView(TrackingConfig(mode=mode), tmp_path, {}, Identity("one"))
    where = view.where
    view.finish({}, RunEnd.finished)
    assert bool(where) == bool([*tmp_path.glob("wandb/offline-run-*")]) == logged


KILL_WANDB = """
import os, signal, subprocess
import run
from rql.runs.record import LocalRecord
log = LocalRecord.log
def log_and_kill(self, stage, step, metrics):
    log(self, stage, step, metrics)
    if stage == "offline":
        listed = subprocess.run(["ps", "-axo", "pid=,command="], capture_output=True, text=True, check=True)
        for pid, *words in map(str.split, listed.stdout.splitlines()):
            if "wandb-core" in words[0] and str(os.getpid()) in words:
                os.kill(int(pid), signal.SIGKILL)
                print("killed", pid)
LocalRecord.log = log_and_kill
run.main()
"""


def test_a_run_outlives_a_killed_wandb_service(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILL_WANDB, *TINY, "tracking=offline", f"hydra.run.dir={tmp_path / 'run'}"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert "killed" in answer.stdout, answer.stderr
    assert answer.returncode == 0, answer.stderr
    assert "online/return" in summary_of(tmp_path / "run")


def test_swept_keys_become_tags_and_top_level_values() -> None:
    swept = {"beta": "linear", "cql.alpha": 1e-3, "seed": 2, "q.normalize": False, "env.id": "x" * 80}
    swept |= {"network.actor.hidden": [32, 32], "replay.capacity": None}
    tags = tags_of(swept)
    assert tags[:4] == ["beta=linear", "cql.alpha=0.001", "seed=2", "q.normalize=false"]
    assert len(tags[4]) == 64 and tags[4].startswith("env.id=xxx")
    assert tags_of({"env.id": "x" * 81}) != tags[4:5]
    assert tags[5:] == ["network.actor.hidden=[32,32]", "replay.capacity=null"]
    plain = {"beta": {"start": 0.1, "end": 1.0}, "cql": {"alpha": 1e-3}, "seed": 2}
    shown = with_swept(plain, swept)
    assert shown["beta"] == "linear" and shown["beta.start"] == 0.1 and shown["beta.end"] == 1.0
    assert shown["cql"] == {"alpha": 1e-3} and shown["cql.alpha"] == 1e-3
    assert shown["seed"] == 2 and shown["q.normalize"] is False
    assert shown["network.actor.hidden"] == [32, 32] and shown["replay.capacity"] is None
    assert with_swept(plain, {}) == plain


def test_a_run_is_named_after_what_is_swept_or_after_what_it_is() -> None:
    choices = {"agent": "iql", "env": "hopper", "budget": "demo"}
    assert name_of(Identity("a", choices, {"beta": "linear", "seed": 1}), {"seed": 1}) == "beta=linear s1"
    assert name_of(Identity("a", choices, {"cql.alpha": 3e-4}), {"seed": 2}) == "cql.alpha=0.0003 s2"
    alone = {"seed": 0, "env": {"id": "Ant-v5"}}  # whichever choice of the group it began as
    assert name_of(Identity("a", choices), alone) == "env=Ant-v5 agent=iql s0"
    assert len(name_of(Identity("a", choices, {f"key{i}": i for i in range(40)}), {"seed": 0})) == 128


def test_a_run_that_goes_on_offline_is_a_new_segment_of_the_same_wandb_run(tmp_path: Path) -> None:
    tracked = ["tracking=offline", "tracking.group=grid", "tracking.job_type=train", "tracking.tags=[mine]"]
    overrides = [*SHORT_EPISODES, *tracked, "beta=linear", "cql.alpha=0.002"]
    command = Command(overrides=overrides, swept={"beta": "linear", "cql.alpha": 0.002})
    run(compose_config(*overrides), tmp_path, command)
    assert json.loads((tmp_path / "run.json").read_text())["swept"] == command.swept
    run(compose_config(*overrides, "online.env_steps=30"), tmp_path, Command())
    logs = sorted(tmp_path.glob("wandb/offline-run-*/*.wandb"))
    assert len(logs) == 2
    records = [inspected(log) for log in logs]
    first, second = [record["run"] for found in records for record in found if record["type"] == "run"]
    for name in ("run_id", "run_group", "job_type", "tags", "project", "resume"):
        assert first[name] == second[name], name
    assert first["run_group"] == "grid" and first["job_type"] == "train" and first["resume"]
    assert first["run_id"] == json.loads((tmp_path / "run.json").read_text())["id"]
    assert sorted(first["tags"]) == ["beta=linear", "cql.alpha=0.002", "mine"]
    config = first["config"]["update"]
    assert first["display_name"] == "beta=linear cql.alpha=0.002 s0" and config["choices"]["target"] == "soft"
    assert config["beta"] == "linear" and config["cql.alpha"] == 0.002 and config["cql"]["alpha"] == 0.002
    history = [[record["history"]["item"] for record in found if record["type"] == "history"] for found in records]
    steps = [[item.get("online/env_step") for item in items] for items in history]
    assert 24 in steps[0] and steps[1] == [step for step in steps[1] if step and 24 <= step <= 30]


def test_an_upload_that_takes_too_long_at_the_end_is_given_up(tmp_path: Path, monkeypatch: Any, caplog: Any) -> None:
    view = WandbView(TrackingConfig(mode=WandbMode.offline), tmp_path, {}, Identity("a1b2c3d4"))
    settings = view._run.settings
    assert settings.finish_timeout == 300.0 and settings.finish_timeout_raises and settings.init_timeout == 30.0

    def slow(*_: Any, **__: Any) -> None:
        raise TimeoutError("Timed out finishing run.")

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(type(view._run), "finish", slow)
        view.finish({}, RunEnd.finished)
    assert f"`wandb sync --include-online {tmp_path / 'wandb'}" in caplog.text
    view._run.finish()


@pytest.mark.parametrize("tag", ["''", "x" * 65], ids=["empty", "long"])
def test_a_tag_that_wandb_would_refuse_is_an_error(tag: str) -> None:
    with pytest.raises(ConfigError, match=r"tracking.tags\[0\]=.* is not possible: 1 to 64 characters"):
        compose_config(f"tracking.tags=[{tag}]")
