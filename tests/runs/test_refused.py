"""Runs that cannot go on, and what is said then."""

import json
import os
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY, Cli, in_another_process
from cut_off_runs import MORE, NO_DATA, damaged, seal_as_newer, wait_for


def _newer(which: str) -> Any:
    def damage(directory: Path) -> None:
        for path in directory.glob(f"checkpoints/{which}.pt"):
            seal_as_newer(path)

    return damage


def _other_data(directory: Path) -> None:
    path = directory / "run.json"
    described = json.loads(path.read_text())
    path.write_text(json.dumps(described | {"data": {name: crc + 1 for name, crc in described["data"].items()}}))


def _other_network(directory: Path) -> None:
    for name in ("config.yaml", "run.json"):
        path = directory / name
        path.write_text(path.read_text().replace("hidden:\n    - 64", "hidden:\n    - 32"))


def _nothing(directory: Path) -> None:
    pass


CHANGED = [
    "seed=7", "dataset.episodes=5", "q.tau=0.5", "q.discount=0.9", "q.learning_rate=0.01", "beta.end=0.5",
    "cql.alpha=1.0", "batch_size=8", "reward.scale=2.0", "replay.capacity=100", "bc.updates=7", "offline.updates=7",
    "env.num_envs=2", "policy.log_std_min=-3.0", "online.utd=2.0",
]  # fmt: skip
GROUPS = ["env=cartpole", "network=large", "beta=constant", "composition=resample", "target=max"]
BAD: list[tuple[str, Any, list[str], str]] = [
    *((f"changed: {one}", _nothing, [one], "holds a run that began with other values") for one in GROUPS),
    ("fewer steps", _nothing, ["online.env_steps=20"], "online.env_steps=20 is not possible: more than 24"),
    ("no config", damaged("config.yaml", None), [MORE], "holds no run that can go on"),
    ("empty config", damaged("config.yaml", b""), [MORE], "is empty or damaged"),
    ("config of bytes", damaged("config.yaml", b"\xff\x00: ["), [MORE], "config.yaml cannot be read"),
    ("no run.json", damaged("run.json", None), [MORE], "run.json cannot be read"),
    ("half a run.json", damaged("run.json", b'{"over'), [MORE], "run.json cannot be read"),
    ("list as run.json", damaged("run.json", b"[1]"), [MORE], "run.json cannot be read"),
    ("empty checkpoints", damaged("checkpoints/*.pt", b""), [MORE], "no checkpoint in"),
    ("text as checkpoints", damaged("checkpoints/*.pt", b"hello"), [MORE], "is no file of RQL"),
    ("newer checkpoints", _newer("*"), [MORE], "this version reads formats up to 1"),
    ("newest of a newer version", _newer("2-*"), [MORE], "this version reads formats up to 1"),
    ("empty metrics", damaged("metrics.jsonl", b""), [MORE], "metrics.jsonl has 0 bytes of"),
    ("empty summary", damaged("summary.json", b""), [], "summary.json is damaged"),
    ("other data", _other_data, [MORE], "changed since it began"),
    ("other network", _other_network, [MORE], "its tensors have other shapes"),
    ("negative minutes", _nothing, ["checkpoint.minutes=-1"], "checkpoint.minutes=-1.0 is not possible: at least 0"),
    ("no steps", _nothing, ["checkpoint.steps=0"], "checkpoint.steps=0 is not possible: at least 1"),
    ("none kept", _nothing, ["checkpoint.keep=0"], "checkpoint.keep=0 is not possible: at least 1"),
    ("unknown action", _nothing, ["watchdog.action=pray"], "watchdog.action"),
    ("no largest Q", _nothing, ["watchdog.max_q=0"], "watchdog.max_q=0.0 is not possible: a number above 0"),
    ("no rollbacks", _nothing, ["watchdog.max_rollbacks=0"], "watchdog.max_rollbacks=0 is not possible"),
    ("factor 1", _nothing, ["watchdog.learning_rate_factor=1"], "watchdog.learning_rate_factor=1.0 is not possible"),
    ("no time", _nothing, ["env.step_timeout=0"], "env.step_timeout=0.0 is not possible: a number above 0"),
    ("misspelt", _nothing, ["checkpoint.minuts=3"], "Its keys are: minutes, steps, keep"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "overrides", "said"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_what_cannot_go_on_says_why_in_one_sentence(
    damage: Any, overrides: list[str], said: str, finished: Path, cli: Cli, tmp_path: Path, capsys: Any
) -> None:
    directory = tmp_path / "copy"
    shutil.copytree(finished, directory)
    damage(directory)
    record = (directory / "metrics.jsonl").read_bytes()
    with pytest.raises(SystemExit) as stop:
        cli(f"resume={directory}", *overrides)
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert stop.value.code == 2 and len(errors) == 1 and said in errors[0], errors
    assert (directory / "metrics.jsonl").read_bytes() == record
    assert not list(directory.glob("checkpoints/*.damaged"))


def test_every_value_that_makes_another_run_is_named(finished: Path, cli: Cli, capsys: Any) -> None:
    with pytest.raises(SystemExit):
        cli(f"resume={finished}", *CHANGED)
    said = capsys.readouterr().err
    for key, value in (change.split("=") for change in CHANGED):
        assert re.search(rf"[ ,]{re.escape(key)} \(\S+ → {re.escape(value)}\)[,;]", said), f"{key}: {said}"


def test_a_folder_that_is_no_run_is_refused(cli: Cli, tmp_path: Path, capsys: Any, finished: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    for folder, said in (("none", "the folder of a run"), ("file", "the folder of a run"), ("empty", "holds no run")):
        with pytest.raises(SystemExit) as stop:
            cli(f"resume={tmp_path / folder}")
        assert stop.value.code == 2 and said in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        cli(*TINY, "resume=never", f"hydra.run.dir={finished}")
    assert stop.value.code == 2 and "holds a run already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["online.env_steps=1000000000000", "replay.capacity=1000000000000"],
            "replay.capacity=1000000000000 is not possible: less: the replay buffer of 1,000,000,000,000 transitions",
        ),
        (["network.critic.hidden=[900000,900000]"], "network.critic.hidden=[900000, 900000] is not possible: less: "),
        (["network.actor.hidden=[900000,900000]"], "less: training its 810,006,300,002 parameters takes 16,200.1 GB"),
    ],
)
def test_what_does_not_fit_into_memory_is_named_with_its_size(
    overrides: list[str], said: str, cli: Cli, tmp_path: Path, capsys: Any
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli(*NO_DATA, *overrides)
    found = capsys.readouterr().err
    assert stop.value.code == 2 and said in found and "Traceback" not in found
    assert not (tmp_path / "run" / "summary.json").exists()


def test_a_folder_has_one_process_and_a_lock_of_a_dead_one_does_not_count(
    tmp_path: Path, capsys: Any, cli: Cli
) -> None:
    directory = tmp_path / "run"
    process = in_another_process(*TINY, f"hydra.run.dir={directory}")
    wait_for(directory, "bc")
    os.kill(process.pid, signal.SIGSTOP)
    with pytest.raises(SystemExit) as stop:
        cli(*TINY)
    said = capsys.readouterr().err
    who = f"process {process.pid} on {os.uname().nodename} is running in it"
    assert stop.value.code == 2 and f"is in use: {who}" in said
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert (directory / ".lock").exists()
    cli(f"resume={directory}", "evaluation.episodes=1")
    assert (directory / "summary.json").exists()
