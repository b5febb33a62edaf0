"""Runs that are cut off go on as if nothing had happened."""

import json
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
from conftest import TINY, Cli, ended, in_another_process, metrics_of, summary_of, without_times
from cut_off_runs import LONGER, NO_DATA, wait_for, wait_until
from gymnasium import spaces
from kills import KILLS_A_RUN, OVERRIDES, SHORT, compose_config, differences, killed_run, leftovers, seconds, start

from rql.agents.saving import read_checkpoint
from rql.config.explain import REQUEUE
from rql.data.batch import Draw
from rql.data.columns import collected_fields
from rql.data.replay import ReplayBuffer
from rql.data.replay_log import ReplayLog
from rql.envs.spaces import describe
from rql.evaluation import evaluator
from rql.evaluation.rollout import play
from rql.runs.folder import Command
from rql.runs.run import run
from rql.utils.errors import PrunedError


@pytest.mark.parametrize("env", ["pendulum", "cartpole"])
def test_a_killed_run_goes_on_and_ends_as_one_that_nobody_killed(env: str, tmp_path: Path) -> None:
    config = compose_config([*SHORT, *OVERRIDES[env], "bc.updates=40", "offline.updates=40", "online.env_steps=100"])
    whole = tmp_path / "whole"
    start(config, whole).join()
    assert killed_run(config, tmp_path / "killed", KILLS_A_RUN, 0.4 * seconds(whole), random.Random(0)) >= 2
    assert differences(whole, tmp_path / "killed") + leftovers(tmp_path / "killed") == []
    attempts = json.loads((tmp_path / "killed" / "run.json").read_text())["attempts"]
    assert len(attempts) >= 2 and any(attempt["resumed_from"] for attempt in attempts)


def test_what_was_half_written_is_gone_when_a_run_goes_on(finished: Path, cli: Cli, tmp_path: Path) -> None:
    directory = shutil.copytree(finished, tmp_path / "run")
    for path in ("config.yaml", "checkpoints/a.pt", "episodes/online.csv", "videos/bc.gif", "contact_sheets/bc.png"):
        whole = directory / path
        whole.parent.mkdir(exist_ok=True)
        whole.with_name(f".{whole.name}.2333").touch()
    assert len(leftovers(directory)) == 5
    cli(*TINY, "online.env_steps=48")
    assert leftovers(directory) == []


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("whole") / "run"
    assert ended(in_another_process(*LONGER, f"hydra.run.dir={directory}"), 120) == 0
    return directory


@pytest.mark.parametrize(
    ("stage", "number"),
    [("bc", signal.SIGTERM), ("offline", signal.SIGTERM), ("online", signal.SIGUSR1)],
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
    command = [*TINY, "bc.updates=4", "offline.updates=0", "online.env_steps=0", "evaluation.boundary_episodes=8"]
    playing, runs = tmp_path / "playing", []

    def play_slowly(act: Any, *rest: Any) -> Any:
        def slow(obs: Any) -> Any:
            playing.touch()
            time.sleep(0.05)
            return act(obs)

        return play(slow, *rest)

    for name in ("whole", "cut"):
        directory = tmp_path / name
        with pytest.MonkeyPatch.context() as patch:
            if name == "cut":
                patch.setattr(evaluator, "play", play_slowly)
            process = in_another_process(*command, f"hydra.run.dir={directory}")
        if name == "cut":
            wait_until(playing.exists, "the evaluation")
            os.kill(process.pid, signal.SIGINT)
            assert ended(process, 10) == REQUEUE
            assert [line for line in metrics_of(directory) if "return" in line] == []
            process = in_another_process(f"resume={directory}")
        assert ended(process, 60) == 0
        runs.append([line | {"time": 0} for line in metrics_of(directory)])
    assert runs[0] == runs[1]


def test_the_same_command_does_not_touch_a_finished_run(finished: Path, cli: Cli, tmp_path: Path, capsys: Any) -> None:
    directory = shutil.copytree(finished, tmp_path / "run")
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    cli(*TINY)
    assert "holds this run, finished" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()} == before


def test_a_finished_run_is_extended_and_the_change_shown_and_recorded(
    finished: Path, cli: Cli, tmp_path: Path, capsys: Any
) -> None:
    directory = shutil.copytree(finished, tmp_path / "copy")
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
    directory = shutil.copytree(finished, tmp_path / "copy")
    cli(f"resume={directory}", "online.stop_return=1e6")
    assert metrics_of(directory) == metrics_of(finished)
    assert summary_of(directory)["online/replay_size"] == 24


def test_the_warm_up_does_not_begin_again_where_a_run_is_extended(finished: Path, cli: Cli, tmp_path: Path) -> None:
    directory = shutil.copytree(finished, tmp_path / "copy")
    updates = read_checkpoint(directory / "agent.pt").tensors["/updates"]
    cli(
        f"resume={directory}", "online.eval_every=0", "online.env_steps=72"
    )  # three tenths of which are 22 steps, of 24 that were made
    cli(f"resume={directory}", "online.env_steps=120")
    assert read_checkpoint(directory / "agent.pt").tensors["/updates"] == updates + 120 - 24


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
    assert len(episodes) > 5 and sum(counts != 30) == 2  # the one that was dropped, and the last


def test_the_episodes_of_a_killed_run_are_those_of_one_that_nobody_killed(root: Path, tmp_path: Path) -> None:
    found = []
    for name in ("whole", "cut"):
        directory = tmp_path / name
        command = [*LONGER, f"online.save_replay=test/{name}-v0", "checkpoint.steps=50", f"hydra.run.dir={directory}"]
        process = in_another_process(*command)
        if name == "cut":
            wait_for(directory, "online", 60)
            os.kill(process.pid, signal.SIGKILL)
            assert ended(process, 10) == -signal.SIGKILL
            process = in_another_process(*command)
        assert ended(process, 60) == 0
        found.append([(e.actions.tolist(), e.rewards.tolist()) for e in minari.load_dataset(f"test/{name}-v0")])
    assert found[0] == found[1] and len(found[0]) == 5


def test_a_pruned_run_goes_on_without_what_pruned_it(finished: Path, tmp_path: Path) -> None:
    config = compose_config([*TINY, "checkpoint.steps=1"])
    with pytest.raises(PrunedError):
        run(config, tmp_path / "run", Command(), lambda step, value: step == 12)
    run(config, tmp_path / "run", Command())
    assert without_times(metrics_of(tmp_path / "run")) == without_times(metrics_of(finished))
