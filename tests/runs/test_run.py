"""`python run.py`, from the command line to the files it leaves."""

import itertools
import random
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import yaml
from conftest import TINY, Cli, episode, metrics_of, summary_of, without_times, write_minari
from gymnasium import spaces

GRID = list(
    itertools.product(
        ("pendulum", "cartpole"),
        ("resample", "amortized", "residual"),
        ("max", "soft", "expected", "prior"),
        ("constant", "linear", "cosine", "exponential", "kl"),
        ("off", "seed", "light", "strong"),
    )
)
CHANGING = {"time"}


def test_a_run_leaves_a_whole_record(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    directory = cli(*TINY, "seed=3", "+env.kwargs.g=9.5")
    lines, summary = metrics_of(directory), summary_of(directory)
    config = yaml.safe_load((directory / "config.yaml").read_text())
    assert config["seed"] == 3 and config["env"]["kwargs"]["g"] == 9.5 and config["beta"]["end"] == 3.0
    assert [stage for stage, _ in itertools.groupby(line["stage"] for line in lines)] == ["bc", "offline", "online"]
    assert [line["step"] for line in lines if line["stage"] == "online" and "return" in line] == [12, 24]
    for stage in ("bc", "offline", "online"):
        final = [line for line in lines if line["stage"] == stage][-1]
        for name in ("return", "return_std", "return_episodes", "return_min", "return_max", "sample_return"):
            assert summary[f"{stage}/{name}"] == final[name]
        assert summary[f"{stage}/updates_per_second"] > 0
    trained = {"bc": {"bc", "baseline"}, "offline": {"critic", "actor"}, "online": {"critic", "actor"}}
    for line in lines:
        named = {name.removesuffix("_gradient_norm") for name in line if name.endswith("_gradient_norm")}
        assert named == (set() if line["stage"] == "online" and "td_loss" not in line else trained[line["stage"]])
        assert named == {name.removesuffix("_learning_rate") for name in line if name.endswith("_learning_rate")}
        assert line.get("critic_learning_rate") in (None, pytest.approx(config["q"]["learning_rate"]))
    assert summary["env_steps_per_second"] > 0 and summary["wall_seconds"] > 0
    assert sorted(path.name for path in directory.iterdir()) == [
        ".lock", "agent.pt", "best.pt", "checkpoints", "config.yaml", "curve.png", "episodes", "metrics.jsonl",
        "run.json", "summary.json",
    ]  # fmt: skip
    printed = capsys.readouterr().out
    assert "π_final, finetuned" in printed
    assert printed.strip().splitlines()[-1].startswith(f"config, metrics, summary, agent and curve are in {directory}")


def test_the_same_command_gives_the_same_metrics_and_another_seed_others(finished: Path, cli: Cli) -> None:
    first = without_times(metrics_of(finished))
    assert without_times(metrics_of(cli(*TINY, name="again"))) == first
    assert without_times(metrics_of(cli(*TINY, "seed=6", name="other"))) != first
    discrete = [without_times(metrics_of(cli(*TINY, "env=cartpole", name=f"discrete{index}"))) for index in range(2)]
    assert discrete[0] == discrete[1]


def test_evaluation_does_not_change_what_is_learned(finished: Path, cli: Cli) -> None:
    often = cli(*TINY, "evaluation.episodes=3", "evaluation.num_envs=1", "offline.eval_every=1")
    losses = [
        [line["td_loss"] for line in metrics_of(directory) if "td_loss" in line and line["step"] % 12 == 0]
        for directory in (often, finished)
    ]
    assert losses[0] == losses[1] and losses[0]


# among these is every choice, and each composition in each environment
@pytest.mark.parametrize("choices", random.Random(64).sample(GRID, 8), ids=lambda choices: "-".join(choices))
def test_every_combination_runs(choices: tuple[str, ...], cli: Cli) -> None:
    env, composition, target, beta, cql = choices
    groups = [f"env={env}", f"composition={composition}", f"target={target}", f"beta={beta}", f"cql={cql}"]
    summary = summary_of(cli(*TINY, *groups))
    assert {"bc/return", "offline/return", "online/return"} <= summary.keys()


@pytest.mark.parametrize(
    ("skipped", "stages"),
    [
        (["online.env_steps=0"], ["bc", "offline"]),
        (["offline.updates=0"], ["bc", "online"]),
        (["offline.updates=0", "online.env_steps=0"], ["bc"]),
        (["bc.updates=0"], ["bc", "offline", "online"]),
    ],
    ids=" ".join,
)
def test_stages_can_be_skipped(skipped: list[str], stages: list[str], cli: Cli) -> None:
    directory = cli(*TINY, *skipped)
    assert list(dict.fromkeys(line["stage"] for line in metrics_of(directory))) == stages
    summary = summary_of(directory)
    assert [stage for stage in ("bc", "offline", "online") if f"{stage}/return" in summary] == stages
    assert (directory / "curve.png").exists()


def test_parallel_collection_in_processes(cli: Cli) -> None:
    directory = cli(*TINY, "env.num_envs=2", "env.vectorization=subprocess", "replay=fading")
    last = metrics_of(directory)[-1]
    assert last["replay_size"] == 24 and last["offline_fraction"] == pytest.approx(0.1)


def test_hopper_from_a_local_minari_data_set_has_normalised_scores(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    with gymnasium.make("Hopper-v5") as env:
        assert isinstance(env.action_space, spaces.Box)
        env.action_space.seed(0)
        actions = [np.array([env.action_space.sample() for _ in range(n)]) for n in (30, 20)]
        episodes = [episode(len(a), 11, a) for a in actions]
        write_minari(tmp_path, "rql/hopper/medium-v0", episodes, env.observation_space, env.action_space)
    directory = cli(
        "experiment=hopper_medium", "dataset=minari", "dataset.id=rql/hopper/medium-v0", "dataset.bc.top_fraction=0.5",
        *[tiny for tiny in TINY if "dataset" not in tiny], "network.critic.hidden=[32]", "network.actor.hidden=[16,16]",
    )  # fmt: skip
    summary = summary_of(directory)
    for stage in ("bc", "offline", "online"):
        expected = 100 * (summary[f"{stage}/return"] + 20.272305) / (3234.3 + 20.272305)
        assert summary[f"{stage}/normalized_score"] == pytest.approx(expected)


def test_the_diagnostics_of_the_method_are_recorded(finished: Path) -> None:
    lines = metrics_of(finished)
    offline, online = (next(line for line in reversed(lines) if line["stage"] == s) for s in ("offline", "online"))
    named = {"kl", "ess", "q_data", "q_policy", "td_error", "bc_log_prob", "overestimation", "beta", "q_scale"}
    assert named <= offline.keys() and named | {"out_of_range"} <= online.keys()
    assert 0.0 < online["ess"] <= 1.0 and 0.0 <= online["out_of_range"] <= 1.0


def test_actions_of_any_shape(cli: Cli, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    action = spaces.Box(-2.0, 2.0, (2, 2), np.float32)

    class Square(gymnasium.Env[Any, Any]):
        observation_space, action_space = spaces.Box(-1.0, 1.0, (3,), np.float32), action

        def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
            super().reset(seed=seed)
            return np.zeros(3, np.float32), {}

        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            assert action.shape == (2, 2)
            return np.zeros(3, np.float32), 1.0, False, self.np_random.random() < 0.3, {}

    gymnasium.register("RQLTestSquare-v0", entry_point=lambda **_: Square())
    episodes = [episode(20, 3, np.random.default_rng(0).uniform(-2, 2, (20, 2, 2)).astype(np.float32))]
    write_minari(tmp_path, "square-v0", episodes, Square.observation_space, action)
    tiny = [override for override in TINY if "dataset" not in override]
    cli("env.id=RQLTestSquare-v0", "dataset=minari", "dataset.id=square-v0", *tiny)
