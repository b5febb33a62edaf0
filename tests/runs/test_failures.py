"""What fails on the way: trainings that diverge, full disks, files that are lost."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY, Cli, metrics_of, summary_of
from cut_off_runs import MORE, damaged
from full_disk import small_files

from rql.runs import checkpoints


def test_a_training_that_diverges_is_rolled_back_with_lower_learning_rates(cli: Cli, capsys: Any) -> None:
    wild = [*TINY, "q.learning_rate=1e12", "offline.updates=40", "watchdog.learning_rate_factor=1e-16"]
    directory = cli(*wild, "watchdog.action=roll_back")
    said = capsys.readouterr().out
    assert "going on from 0-bc-0000000006-end.pt with learning rates × 1e-16" in said
    lines = metrics_of(directory)
    assert [line["step"] for line in lines if line["stage"] == "offline"] == [*range(3, 40, 3), 40]
    assert summary_of(directory)["offline/td_loss"] < 1e6
    assert len(json.loads((directory / "run.json").read_text())["attempts"]) == 2


def test_a_checkpoint_that_led_to_nothing_twice_is_dropped_for_the_one_before(cli: Cli, capsys: Any) -> None:
    lengths = ["offline.updates=0", "online.env_steps=60", "online.warmup_fraction=0", "online.eval_every=0"]
    watched = ["watchdog.action=roll_back", "watchdog.max_q=1e-9", "watchdog.max_rollbacks=2"]
    with pytest.raises(SystemExit) as stop:
        cli(
            *TINY,
            *lengths,
            *watched,
            "batch_size=4",
            "checkpoint.steps=7",
            "checkpoint.keep=1",
            "tracking.log_every=13",
        )
    said = capsys.readouterr()
    assert stop.value.code == 2 and "it had gone back to a checkpoint watchdog.max_rollbacks=2 times" in said.err
    assert said.out.count("going on from 0-bc-0000000006-end.pt") == 1
    assert "going on from 2-online-0000000007.pt" in said.out


def test_a_training_that_diverges_stops_with_a_diagnosis(cli: Cli, capsys: Any) -> None:
    with pytest.raises(SystemExit) as stop:
        cli(*TINY, "q.learning_rate=1e30", "offline.updates=40")
    assert stop.value.code == 2
    said = capsys.readouterr().err
    for part in ("training diverged: offline/", "the record's last values: return -", "watchdog.action=roll_back"):
        assert part in said, said


def test_a_full_disk_costs_checkpoints_but_not_the_run(cli: Cli, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(checkpoints, "save_agent", _on_a_full_disk)
    directory = cli(*TINY)
    said = capsys.readouterr().out
    assert "no checkpoint could be written at online step 24: [Errno 28] No space left" in said
    assert "online/return" in summary_of(directory) and not list((directory / "checkpoints").glob("*.pt"))


def _on_a_full_disk(*_: Any) -> int:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("size", [100, 30_000])
def test_a_record_that_cannot_be_written_ends_the_run_with_a_sentence(size: int, cli: Cli, capsys: Any) -> None:
    with small_files(size), pytest.raises(SystemExit) as stop:
        cli(*TINY)
    said = capsys.readouterr().err
    assert stop.value.code == 2 and "File too large" in said and "Traceback" not in said


@pytest.mark.parametrize("content", [None, b"1234"], ids=["missing", "damaged"])
def test_a_run_that_lost_its_replay_buffer_goes_on_from_before_it(
    content: bytes | None, finished: Path, cli: Cli, tmp_path: Path, capsys: Any
) -> None:
    directory = tmp_path / "copy"
    shutil.copytree(finished, directory)
    damaged("checkpoints/replay/*", content)(directory)
    cli(f"resume={directory}", MORE)
    said = capsys.readouterr().out
    for name in ("checkpoint 2-online-0000000024-end.pt", "000000.npz", "goes on from 1-offline-0000000006-end.pt"):
        assert name in said
    assert summary_of(directory)["online/replay_size"] == 48
    assert (directory / "checkpoints" / "2-online-0000000024-end.pt.damaged").exists()
