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
from conftest import ROOT, TINY, Cli, metrics_of, summary_of

from rql.config.choices import WandbMode
from rql.config.schema import TrackingConfig
from rql.files import write_atomically
from rql.tracking.folder import Identity
from rql.tracking.record import LocalRecord, Position
from rql.tracking.wandb import WandbView


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


def test_an_offline_wandb_run_holds_config_history_and_summary_under_the_documented_names(cli: Cli) -> None:
    directory = cli(*TINY, "tracking=offline", "tracking.group=grid", "tracking.tags=[a,b]", "tracking.name=first")
    (log,) = directory.glob("wandb/offline-run-*/*.wandb")
    command = [str(Path(sys.executable).parent / "wandb"), "leet", "inspect", "--summary", "--json", str(log)]
    shown = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    text = json.dumps(shown)
    summary = summary_of(directory)
    for name in ("bc/return", "offline/return", "online/return", "online/normalized_score", "wall_seconds"):
        assert (f'"{name}"' in text) == (name in summary), name
    for name in ("bc/update", "offline/update", "online/env_step", "offline/td_loss", "Pendulum-v1", "grid", "first"):
        assert name in text, name


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
        view.log("bc", 1, {"loss": 1.0})
        view.log("bc", 2, {"loss": 1.0})
    assert sum("gone" in message for message in caplog.messages) == 1
    view.finish({}, exit_code=0)
    wandb.teardown()


KILL_WANDB = """
import os, signal, subprocess
import run, rql.observer as observer
log = observer.LocalRecord.log
def log_and_kill(self, stage, step, metrics):
    log(self, stage, step, metrics)
    if stage == "offline":
        listed = subprocess.run(["ps", "-axo", "pid=,command="], capture_output=True, text=True, check=True)
        for pid, *words in map(str.split, listed.stdout.splitlines()):
            if "wandb-core" in words[0] and str(os.getpid()) in words:
                os.kill(int(pid), signal.SIGKILL)
                print("killed", pid)
observer.LocalRecord.log = log_and_kill
run.main()
"""


def test_a_run_outlives_a_killed_wandb_service(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILL_WANDB, *TINY, "tracking=offline", f"hydra.run.dir={tmp_path / 'run'}"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert "killed" in answer.stdout, answer.stderr
    assert answer.returncode == 0, answer.stderr
    assert "online/return" in summary_of(tmp_path / "run")
