"""The use of a saved agent: as a function, in whole episodes, as a film, and as a file that runs without RQL."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import imageio_ffmpeg
import numpy as np
import pytest
import torch
from conftest import TINY, Cli, compose_config, first_state, metrics_of, summary_of
from gymnasium import spaces as gym_spaces
from PIL import Image
from test_evaluation import CONFIG as COUNTER

import rql
from rql import load_policy
from rql.agents import exporting
from rql.agents.build import build_agent
from rql.agents.exporting import FORMATS, load_exported
from rql.agents.loading import open_agent
from rql.agents.saving import save_agent
from rql.commands import evaluate, export
from rql.config.data import EnvConfig
from rql.envs.make import inspect_env
from rql.envs.spaces import entry
from rql.utils.errors import RQLError

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.load. is deprecated")

NETWORKS = ("network.actor.hidden=[8]", "network.critic.hidden=[8]")
RESAMPLE = ("composition=resample", "target=max", "composition.num_candidates=5")
UNIFORM = ("policy=uniform", "dataset=none", "replay=online_only", "bc.updates=0", "offline.updates=0")


class Shaped(gymnasium.Env[Any, Any]):
    """Observations in a dictionary, actions in a matrix with bounds of its own."""

    observation_space = gym_spaces.Dict(
        {"place": gym_spaces.Box(-9.0, 9.0, (3,)), "door": gym_spaces.Discrete(2, start=1)}
    )
    action_space: gym_spaces.Space[Any] = gym_spaces.Box(
        np.array([[-1.0, 0.0]] * 2), np.array([[3.0, 5.0]] * 2), (2, 2), float
    )

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.steps = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action)
        self.steps += 1
        return self.observation_space.sample(), float(np.sum(action)), self.steps == 5, False, {}


class Numbered(Shaped):
    """Discrete actions that do not begin at 0."""

    action_space = gym_spaces.Discrete(3, start=5)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return super().step(np.int64(action))


gymnasium.register("RQLTestShaped-v0", entry_point=lambda **_: Shaped())
gymnasium.register("RQLTestNumbered-v0", entry_point=lambda **_: Numbered())
SHAPED, NUMBERED = "env.id=RQLTestShaped-v0", "env.id=RQLTestNumbered-v0"
AGENTS = {
    "amortized": [SHAPED],
    "resample": [SHAPED, *RESAMPLE],
    "uniform": [SHAPED, *RESAMPLE, *UNIFORM],
    "discrete": [NUMBERED],
    "discrete, uniform": [NUMBERED, *UNIFORM],
}
Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """An agent with weights and observations drawn at random, in `agent.pt`."""

    def call(*overrides: str) -> Path:
        config = compose_config(*NETWORKS, *overrides)
        spaces, env = inspect_env(config.env)
        env.close()
        torch.manual_seed(0)
        agent = build_agent(config, spaces, torch.device("cpu"))
        state = first_state(agent, spaces)
        normalizer = state.normalizer._replace(mean=torch.rand(spaces.obs_dim), std=0.5 + torch.rand(spaces.obs_dim))
        drawn = state._replace(normalizer=normalizer, beta=torch.tensor(5.0), updates=torch.tensor(1.0))
        save_agent(tmp_path / "agent.pt", drawn, config, "online")
        return tmp_path

    return call


def refused(command: Any, arguments: list[Any], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command says as it refuses its arguments."""
    with pytest.raises(SystemExit) as stopped:
        command.main([str(argument) for argument in arguments])
    lines = capsys.readouterr().err.splitlines()
    assert stopped.value.code == 2 and lines[-1].startswith("error: ") and "Traceback" not in lines[0]
    return lines[-1]


def test_importing_the_package_is_light() -> None:
    check = "import sys, rql; assert rql.__version__ and not {'torch', 'numpy', 'hydra'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0
    assert rql.load_policy is load_policy
    with pytest.raises(AttributeError, match="no_such_name"):
        getattr(rql, "no_such_name")  # noqa: B009


@pytest.mark.parametrize("overrides", AGENTS.values(), ids=AGENTS)
def test_a_policy_maps_observations_of_the_environment_to_its_actions(save: Save, overrides: list[str]) -> None:
    folder = save(*overrides)
    saved = open_agent(folder)
    with gymnasium.make(saved.config.env.id) as env:
        observations = [env.reset(seed=seed)[0] for seed in range(20)]
        for which in ("bc", "final"):
            policy = load_policy(folder / "agent.pt", which=which)
            actions = [policy(obs) for obs in observations]
            assert all(env.action_space.contains(action) for action in actions)
            flat = torch.from_numpy(np.stack([saved.spaces.observation.flatten_one(obs) for obs in observations]))
            expected = saved.spaces.action.to_env(saved.agent.policies[which].act(saved.state, flat, {}, True).numpy())
            assert np.allclose(np.stack(actions), expected, atol=1e-5)
    stacked = {key: np.stack([obs[key] for obs in observations]) for key in observations[0]}
    assert np.allclose(policy.batch(stacked), expected, atol=1e-5)
    assert np.allclose(entry(policy.batch(stacked), 3), actions[3], atol=1e-5)


def test_a_sampled_policy_is_repeatable_and_leaves_other_random_numbers_alone(save: Save) -> None:
    folder = save(SHAPED, *RESAMPLE)
    obs = Shaped().reset(seed=0)[0]
    before = torch.get_rng_state()
    first, again, other = (load_policy(folder, deterministic=False, seed=seed) for seed in (1, 1, 2))
    actions = [first(obs) for _ in range(3)]
    assert np.array_equal(actions, [again(obs) for _ in range(3)])
    assert not np.array_equal(actions[0], actions[1]) and not np.array_equal(actions[0], other(obs))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("obs", "said"),
    [(np.zeros(4), "has 3 numbers here, and this one 4"), ({"place": 1}, "no observation of"), ("x", "no observation")],
)
def test_what_is_no_observation_is_refused(save: Save, obs: Any, said: str) -> None:
    with pytest.raises(RQLError, match=said):
        load_policy(save("env=pendulum"))(obs)


def test_the_file_of_the_first_stage_has_a_policy(cli: Cli) -> None:
    folder = cli(*TINY, "offline.updates=0", "online.env_steps=0")
    obs = np.array([1.0, 0.0, 0.0])
    assert load_policy(folder, which="final")(obs) == load_policy(folder, which="bc")(obs)
    with pytest.raises(RQLError, match="one of bc, final"):
        load_policy(folder, which="best")


def test_evaluating_a_run_finds_the_figures_of_its_record(
    cli: Cli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, report = cli(*TINY), tmp_path / "report.json"
    assert evaluate.main([str(folder), "--mode", "both", "--json", str(report)]) == 0
    summary, found = summary_of(folder), json.loads(report.read_text())
    by_name = {(row["policy"], row["mode"]): row for row in found["policies"]}
    for policy, stage in (("bc", "bc"), ("final", "online")):
        for mode, prefix in (("mode", ""), ("sample", "sample_")):
            row = by_name[policy, mode]
            for name in ("return", "return_std", "return_min", "return_max", "episode_length"):
                assert row[name] == summary[f"{stage}/{prefix}{name}"]
            assert np.mean(row["returns"]) == pytest.approx(row["return"])
    printed = capsys.readouterr().out
    assert "π_BC" in printed and "π_final" in printed and "return of 2 episodes" in printed
    assert metrics_of(folder)[-1]["return"] == by_name["final", "mode"]["return"]


def test_other_episodes_are_a_matter_of_the_seed(save: Save, tmp_path: Path) -> None:
    folder = save("env=hopper")
    found = {}
    for name, seed, envs in (("a", "1", "1"), ("b", "1", "3"), ("c", "2", "3")):
        fixed = [str(folder), "--policy", "final", "--episodes", "3", "--seed", seed, "--num-envs", envs]
        evaluate.main([*fixed, "--json", str(tmp_path / name)])
        found[name] = json.loads((tmp_path / name).read_text())["policies"][0]
    assert found["a"]["returns"] == pytest.approx(found["b"]["returns"]) != found["c"]["returns"]
    assert found["a"]["normalized_score"] == pytest.approx(100 * (found["a"]["return"] + 20.272) / 3254.57, abs=1e-2)


def test_success_is_reported_where_the_environment_does(save: Save, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate.main([str(save(f"env.id={COUNTER.id}")), "--episodes", "2"])
    assert "success" in capsys.readouterr().out


def test_an_episode_is_filmed(save: Save, tmp_path: Path) -> None:
    folder = save("env=cartpole")
    films = tmp_path / "film.gif", tmp_path / "film.mp4"
    for film in films:
        evaluate.main([str(folder), "--episodes", "1", "--video", str(film), "--json", str(tmp_path / film.suffix)])
    report = json.loads((tmp_path / ".mp4").read_text())["policies"]
    frames = next(row["episode_length"] for row in report if row["policy"] == "final") + 1
    with Image.open(films[0]) as gif:
        assert getattr(gif, "n_frames") <= -(-frames // 2) and gif.size == (600, 400)  # noqa: B009
    assert imageio_ffmpeg.count_frames_and_secs(str(films[1]))[0] == frames


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("overrides", AGENTS.values(), ids=AGENTS)
def test_an_exported_policy_acts_as_the_agent_does(
    save: Save, tmp_path: Path, to: str, overrides: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, spaces = save(*overrides), inspect_env(EnvConfig(overrides[0].removeprefix("env.id=")))[0]
    obs = torch.randn(7, spaces.obs_dim)
    for which in ("final", "bc"):
        out = tmp_path / f"{which}.out"
        assert export.main([str(folder), "--to", to, "--out", str(out), "--policy", which]) == 0
        act, saved = load_exported(out.read_bytes(), to), open_agent(folder)
        expected = spaces.action.to_env(saved.agent.policies[which].act(saved.state, obs, {}, True).numpy())
        for rows in (slice(0, 1), slice(0, 7)):
            action = act(obs[rows]).numpy()
            assert action.dtype == expected.dtype and np.allclose(action, expected[rows], atol=1e-5)
    assert "acts as the agent does at 1,000 observations" in capsys.readouterr().out


def test_an_export_that_acts_otherwise_leaves_no_file(
    save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Wrong(exporting.PolicyModule):
        def forward(self, obs: torch.Tensor) -> torch.Tensor:
            return super().forward(obs) + 1e-4

    monkeypatch.setattr(exporting, "PolicyModule", Wrong)
    out = tmp_path / "policy.pt"
    said = refused(export, [save(SHAPED), "--to", "torchscript", "--out", out], capsys)
    assert "acts otherwise than the agent at 1000 of 1000 observations" in said and not out.exists()


def test_of_actions_that_are_as_good_an_export_may_take_either(save: Save) -> None:
    saved = open_agent(save(NUMBERED, *UNIFORM))
    obs, ones = torch.randn(4, saved.spaces.obs_dim), torch.ones(4, dtype=torch.int64)
    best = saved.agent.policies["final"].act(saved.state, obs, {}, True)
    assert exporting._disagreements(saved, "final", obs, best + 5) == 0
    assert exporting._disagreements(saved, "final", obs, (best + 1) % 3 + 5) == 4
    assert exporting._disagreements(saved, "bc", obs, ones + 5) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{run}", "--episodes", "0"], "argument --episodes: 0 is no whole number of at least 1"),
        (["{run}", "--num-envs", "two"], "argument --num-envs: two is no whole number"),
        (["{run}", "--seed", "-1"], "--seed"),
        (["{run}", "--mode", "best"], "argument --mode: invalid choice"),
        (["{run}", "--policy", "best"], "one of bc, final"),
        ([], "required: PATH"),
        (["/no/where"], "no agent can be read from /no/where: No such file or directory; a run's folder"),
        (["{run}/empty"], "holds no agent: neither agent.pt nor checkpoints"),
        (["{run}/damaged.pt"], "damaged.pt is no file of RQL"),
        (["{run}", "--json", "{run}/agent.pt"], "is there already; name another file"),
        (["{run}", "--json", "/no/where.json"], "there is no folder /no"),
        (["{run}", "--video", "{run}/agent.pt"], "is there already"),
        (["{run}", "--json", "{run}/a.gif", "--video", "{run}/a.gif"], "a.gif cannot be both"),
        (["{run}", "--video", "{run}/film.avi"], "its name must end in .gif or .mp4"),
        (["{run}", "--video", "{run}/film.gif"], "RQLTestShaped-v0 cannot be filmed: it does not render to rgb_array"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(
    save: Save, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refused(evaluate, _with_files(save(SHAPED), arguments), capsys)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{run}", "--out", "{run}/x"], "required: --to"),
        (["{run}", "--to", "onnx"], "required: --out"),
        (["{run}", "--to", "excel", "--out", "{run}/x"], "argument --to: invalid choice"),
        (["{run}", "--to", "onnx", "--out", "{run}/agent.pt"], "is there already"),
        (["{run}", "--to", "onnx", "--out", "/no/where.onnx"], "there is no folder /no"),
        (["/no/where", "--to", "onnx", "--out", "{run}/x"], "no agent can be read from /no/where"),
        (["{run}/damaged.pt", "--to", "onnx", "--out", "{run}/x"], "damaged.pt is no file of RQL"),
    ],
)
def test_what_cannot_be_exported_is_refused(
    save: Save, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save(SHAPED)
    assert said in refused(export, _with_files(folder, arguments), capsys)
    assert not (folder / "x").exists()


@pytest.mark.parametrize(
    ("command", "arguments", "package", "said"),
    [
        (export, ["--to", "onnx", "--out", "{run}/x"], "onnxruntime", "pip install 'rql[onnx]'"),
        (evaluate, ["--video", "{run}/x.mp4"], "imageio_ffmpeg", "pip install 'rql[video]'"),
    ],
)
def test_a_package_that_is_missing_is_named(
    save: Save,
    command: Any,
    arguments: list[str],
    package: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert said in refused(command, _with_files(save(SHAPED), ["{run}", *arguments]), capsys)


def _with_files(run: Path, arguments: list[str]) -> list[str]:
    (run / "empty").mkdir()
    (run / "damaged.pt").write_bytes(b"nothing")
    return [argument.format(run=run) for argument in arguments]
