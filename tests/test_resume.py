"""Runs that are cut off go on as if nothing had happened."""

import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import gymnasium
import minari
import numpy as np
import pytest
import torch
import yaml
from conftest import TINY, Cli, metrics_of, small_files, summary_of
from gymnasium import spaces
from kills import KILLS_A_RUN, OVERRIDES, SHORT, compose_config, differences, killed_run, leftovers, start

from rql.__main__ import main as rql_main
from rql.agents.saving import read_checkpoint
from rql.config.explain import REQUEUE
from rql.data.batch import Draw
from rql.data.columns import collected_fields
from rql.data.replay import ReplayBuffer
from rql.data.replay_log import ReplayLog
from rql.envs.spaces import describe
from rql.runs import checkpoints

LONGER = [
    *TINY,
    "bc.updates=200",
    "offline.updates=100",
    "online.env_steps=600",
    "online.utd=0.3",
    "tracking.log_every=5",
]
NO_DATA = [
    *(override for override in LONGER if not override.startswith("dataset.")),
    "dataset=none",
    "policy=uniform",
    "replay=online_only",
    "bc.updates=0",
    "offline.updates=0",
]


@pytest.mark.parametrize("env", ["pendulum", "cartpole"])
def test_a_killed_run_goes_on_and_ends_as_one_that_nobody_killed(env: str, tmp_path: Path) -> None:
    config = compose_config([*SHORT, *OVERRIDES[env], "bc.updates=60", "offline.updates=60", "online.env_steps=160"])
    whole = tmp_path / "whole"
    began = time.monotonic()
    process = start(config, whole)
    process.join()
    seconds = time.monotonic() - began
    assert killed_run(config, tmp_path / "killed", KILLS_A_RUN, 0.7 * seconds, random.Random(0)) >= 2
    assert differences(whole, tmp_path / "killed") + leftovers(tmp_path / "killed") == []
    attempts = json.loads((tmp_path / "killed" / "run.json").read_text())["attempts"]
    assert len(attempts) >= 3 and any(attempt["resumed_from"] for attempt in attempts)


def in_another_process(*arguments: str) -> Any:
    """`python run.py …`, without the time it takes to import torch."""

    def call() -> None:
        rql_main(["train", *arguments])

    process = multiprocessing.get_context("fork").Process(target=call)
    process.start()
    return process


def wait_for(directory: Path, stage: str) -> None:
    path, until = directory / "metrics.jsonl", time.monotonic() + 60
    while time.monotonic() < until:
        if path.exists() and f'"stage": "{stage}"' in path.read_text():
            return
        time.sleep(0.005)
    raise AssertionError(f"{directory} never came to {stage}")


def ended(process: Any, seconds: float) -> int:
    process.join(seconds)
    assert not process.is_alive()
    return int(process.exitcode)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("whole") / "run"
    assert ended(in_another_process(*LONGER, f"hydra.run.dir={directory}"), 120) == 0
    return directory


@pytest.mark.parametrize(
    ("stage", "number"),
    [("bc", signal.SIGTERM), ("offline", signal.SIGTERM), ("online", signal.SIGTERM), ("online", signal.SIGUSR1)],
)
def test_a_signal_is_followed_by_a_checkpoint_and_exit_code_85(
    stage: str, number: signal.Signals, whole: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "run"
    command = [*LONGER, f"hydra.run.dir={directory}"]
    process = in_another_process(*command)
    wait_for(directory, stage)
    os.kill(process.pid, number)
    assert ended(process, 10) == REQUEUE == 85
    assert not (directory / "summary.json").exists()
    assert f"-{stage}-" in max(path.name for path in (directory / "checkpoints").glob("*.pt"))
    assert ended(in_another_process(*command), 120) == 0
    assert differences(whole, directory) == []


def test_an_evaluation_is_given_up_for_a_signal_and_made_again(tmp_path: Path) -> None:
    command = [*TINY, "bc.updates=4", "offline.updates=0", "online.env_steps=0", "evaluation.boundary_episodes=40"]
    runs = []
    for name in ("whole", "cut"):
        directory = tmp_path / name
        process = in_another_process(*command, f"hydra.run.dir={directory}")
        if name == "cut":
            wait_for(directory, "bc")
            time.sleep(0.5)
            os.kill(process.pid, signal.SIGINT)
            assert ended(process, 10) == REQUEUE
            assert [line for line in metrics_of(directory) if "return" in line] == []
            process = in_another_process(f"resume={directory}")
        assert ended(process, 60) == 0
        runs.append([line | {"time": 0} for line in metrics_of(directory)])
    assert runs[0] == runs[1]


def test_the_same_command_does_not_touch_a_finished_run(cli: Cli, capsys: Any) -> None:
    directory = cli(*TINY)
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    cli(*TINY)
    assert "holds this run, finished" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()} == before


def test_a_finished_run_is_extended_and_the_change_shown_and_recorded(cli: Cli, tmp_path: Path, capsys: Any) -> None:
    directory = cli(*TINY)
    lines = metrics_of(directory)
    cli(f"resume={directory}", "online.env_steps=48", "evaluation.episodes=3", name="elsewhere")
    assert not (tmp_path / "elsewhere").exists()
    said = capsys.readouterr().out
    assert "changed: online.env_steps 24 → 48\nchanged: evaluation.episodes 2 → 3\n" in said
    assert metrics_of(directory)[: len(lines)] == lines
    assert [line["step"] for line in metrics_of(directory) if line["stage"] == "online" and "return" in line][-2:] == [
        36,
        48,
    ]
    described = json.loads((directory / "run.json").read_text())
    assert described["attempts"][-1]["changes"] == {"evaluation.episodes": [2, 3], "online.env_steps": [24, 48]}
    assert yaml.safe_load((directory / "config.yaml").read_text())["online"]["env_steps"] == 48
    assert summary_of(directory)["online/replay_size"] == 48


def test_a_run_that_made_all_its_steps_makes_no_more_for_another_goal(finished: Path, cli: Cli, tmp_path: Path) -> None:
    directory = tmp_path / "copy"
    shutil.copytree(finished, directory)
    cli(f"resume={directory}", "online.stop_return=1e6")
    assert metrics_of(directory) == metrics_of(finished)
    assert summary_of(directory)["online/replay_size"] == 24


def test_the_warm_up_does_not_begin_again_where_a_run_is_extended(cli: Cli) -> None:
    directory = cli(*TINY)
    updates = read_checkpoint(directory / "agent.pt").tensors["/updates"]
    cli(f"resume={directory}", "online.env_steps=72")  # three tenths of which are 22 steps, of 24 that were made
    cli(f"resume={directory}", "online.env_steps=400")
    assert read_checkpoint(directory / "agent.pt").tensors["/updates"] == updates + 400 - 24


def test_the_best_policy_is_kept(cli: Cli) -> None:
    directory = cli(*TINY, "online.env_steps=60")
    returns = [line["return"] for line in metrics_of(directory) if "return" in line and line["stage"] != "bc"]
    best, last = (read_checkpoint(directory / name).tensors for name in ("best.pt", "agent.pt"))
    assert (best["/updates"] == last["/updates"]) == (returns.index(max(returns)) == len(returns) - 1)


class Unknown(gymnasium.Env[Any, Any]):
    """Its state cannot be saved; an observation says how many episodes and steps there were."""

    observation_space, action_space = spaces.Box(-1e9, 1e9, (2,), np.float32), spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._obs = np.array([self.np_random.integers(10**6), 0.0], np.float32)
        return self._obs.copy(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._obs[1] += 1.0
        return self._obs.copy(), 1.0, False, bool(self._obs[1] >= 30), {}


UNKNOWN = describe("RQLTestUnknown-v0", Unknown.observation_space, Unknown.action_space)
gymnasium.register("RQLTestUnknown-v0", entry_point=lambda **_: Unknown())


def test_where_environments_cannot_be_saved_their_episodes_are_dropped_and_no_transition_spans_the_gap(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "run"
    command = [*NO_DATA, "env.id=RQLTestUnknown-v0", "q.n_step=3", "checkpoint.steps=7", f"hydra.run.dir={directory}"]
    process = in_another_process(*command)
    wait_for(directory, "online")
    os.kill(process.pid, signal.SIGTERM)
    assert ended(process, 10) == REQUEUE
    assert ended(in_another_process(*command), 60) == 0
    saved = read_checkpoint(max((directory / "checkpoints").glob("2-online-*-end.pt"))).progress
    log = ReplayLog(directory / "checkpoints" / "replay")
    replay = ReplayBuffer(collected_fields(UNKNOWN), 1000, 1, 3, torch.device("cpu"))
    replay.restore(log.read(saved["replay"]["files"], saved["replay"]["kept"]), saved["replay"]["state"])
    batch = replay.sample(5000, torch.Generator().manual_seed(0), Draw(3))
    obs, next_obs = batch.obs.numpy(), batch.next_obs.numpy()
    assert (obs[:, 0] == next_obs[:, 0]).all() and (next_obs[:, 1] == obs[:, 1] + batch.steps.numpy()).all()
    rows = np.unique(obs, axis=0)
    episodes, counts = np.unique(rows[:, 0], return_counts=True)
    assert len(episodes) > 10 and sum(counts != 30) == 2  # the one that was dropped, and the last


def test_the_episodes_of_a_killed_run_are_those_of_one_that_nobody_killed(root: Path, tmp_path: Path) -> None:
    found = []
    for name in ("whole", "cut"):
        directory = tmp_path / name
        command = [*LONGER, f"online.save_replay=test/{name}-v0", "checkpoint.steps=50", f"hydra.run.dir={directory}"]
        process = in_another_process(*command)
        if name == "cut":
            wait_for(directory, "online")
            time.sleep(0.3)
            os.kill(process.pid, signal.SIGKILL)
            assert ended(process, 10) == -signal.SIGKILL
            process = in_another_process(*command)
        assert ended(process, 60) == 0
        found.append([(e.actions.tolist(), e.rewards.tolist()) for e in minari.load_dataset(f"test/{name}-v0")])
    assert found[0] == found[1] and len(found[0]) == 3


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
        cli(*TINY, *lengths, *watched, "checkpoint.steps=7", "checkpoint.keep=1", "tracking.log_every=13")
    said = capsys.readouterr()
    assert stop.value.code == 2 and "it had gone back to a checkpoint watchdog.max_rollbacks=2 times" in said.err
    assert said.out.count("going on from 0-bc-0000000006-end.pt") == 1
    assert "going on from 2-online-0000000007.pt" in said.out


def test_a_training_that_diverges_stops_with_a_diagnosis(cli: Cli, capsys: Any) -> None:
    with pytest.raises(SystemExit) as stop:
        cli(*TINY, "q.learning_rate=1e12", "offline.updates=40")
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
    _damaged("checkpoints/replay/*", content)(directory)
    cli(f"resume={directory}", MORE)
    said = capsys.readouterr().out
    for name in ("checkpoint 2-online-0000000024-end.pt", "000000.npz", "goes on from 1-offline-0000000006-end.pt"):
        assert name in said
    assert summary_of(directory)["online/replay_size"] == 48
    assert (directory / "checkpoints" / "2-online-0000000024-end.pt.damaged").exists()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("finished") / "run"
    assert ended(in_another_process(*TINY, f"hydra.run.dir={directory}"), 60) == 0
    return directory


def _damaged(name: str, content: bytes | None) -> Any:
    def damage(directory: Path) -> None:
        for path in directory.glob(name):
            path.write_bytes(content) if content is not None else path.unlink()

    return damage


def _newer(which: str) -> Any:
    def damage(directory: Path) -> None:
        for path in directory.glob(f"checkpoints/{which}.pt"):
            path.write_bytes(path.read_bytes().replace(b"sealed file 1", b"sealed file 2", 1))

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


MORE = "online.env_steps=48"
CHANGED = [
    "seed=7", "env=cartpole", "dataset.episodes=5", "q.tau=0.5", "q.discount=0.9", "q.learning_rate=1e-2",
    "network=large", "beta=constant", "beta.end=0.5", "cql=strong", "composition=resample", "target=max",
    "batch_size=8", "reward.scale=2", "replay.capacity=100", "bc.updates=7", "offline.updates=7", "env.num_envs=2",
    "policy.log_std_min=-3", "online.utd=2",
]  # fmt: skip
BAD: list[tuple[str, Any, list[str], str]] = [
    *((f"changed: {one}", _nothing, [one], "holds a run that began with other values") for one in CHANGED),
    ("fewer steps", _nothing, ["online.env_steps=12"], "online.env_steps=12 is not possible: more than 24"),
    ("no config", _damaged("config.yaml", None), [MORE], "holds no run that can go on"),
    ("empty config", _damaged("config.yaml", b""), [MORE], "is empty or damaged"),
    ("config of bytes", _damaged("config.yaml", b"\xff\x00: ["), [MORE], "config.yaml cannot be read"),
    ("no run.json", _damaged("run.json", None), [MORE], "run.json cannot be read"),
    ("half a run.json", _damaged("run.json", b'{"over'), [MORE], "run.json cannot be read"),
    ("list as run.json", _damaged("run.json", b"[1]"), [MORE], "run.json cannot be read"),
    ("empty checkpoints", _damaged("checkpoints/*.pt", b""), [MORE], "no checkpoint in"),
    ("text as checkpoints", _damaged("checkpoints/*.pt", b"hello"), [MORE], "is no file of RQL"),
    ("newer checkpoints", _newer("*"), [MORE], "this version reads formats up to 1"),
    ("newest of a newer version", _newer("2-*"), [MORE], "this version reads formats up to 1"),
    ("empty metrics", _damaged("metrics.jsonl", b""), [MORE], "metrics.jsonl has 0 bytes of"),
    ("empty summary", _damaged("summary.json", b""), [], "summary.json is damaged"),
    ("other data", _other_data, [MORE], "are not those that it began with"),
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
    process = in_another_process(*LONGER, f"hydra.run.dir={directory}")
    wait_for(directory, "bc")
    with pytest.raises(SystemExit) as stop:
        cli(*LONGER)
    said = capsys.readouterr().err
    who = f"process {process.pid} on {os.uname().nodename} is running in it"
    assert stop.value.code == 2 and f"is in use: {who}" in said
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert (directory / ".lock").exists()
    cli(f"resume={directory}", "evaluation.episodes=1")
    assert (directory / "summary.json").exists()
