"""The use of a saved agent: as a function, in whole episodes, as a film."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import imageio_ffmpeg
import numpy as np
import pytest
import torch
from conftest import metrics_of, summary_of
from counter_env import CONFIG as COUNTER
from PIL import Image
from saved_agents import AGENTS, RESAMPLE, SHAPED, Save, Shaped, save_random_agent

import rql
from rql import load_policy
from rql.agents.loading import Policy, open_agent
from rql.commands import evaluate
from rql.utils.errors import RQLError
from rql.utils.tree import entry

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.load. is deprecated")


@pytest.fixture
def save(tmp_path: Path) -> Save:
    return partial(save_random_agent, tmp_path)


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
            actions = [_first(policy, obs) for obs in observations]
            assert all(env.action_space.contains(action) for action in actions)
            flat = torch.from_numpy(np.stack([saved.spaces.observation.flatten_one(obs) for obs in observations]))
            decided = saved.decided.to_env(saved.agent.policies[which].act(saved.state, flat, {}, True).numpy())
            expected = decided[:, 0] if saved.config.chunk.length > 1 else decided
            assert np.allclose(np.stack(actions), expected, atol=1e-5)
    stacked = {key: np.stack([obs[key] for obs in observations]) for key in observations[0]}
    policy.begin(range(20))
    assert np.allclose(policy.batch(stacked), expected, atol=1e-5)
    policy.begin(range(20))
    assert np.allclose(entry(policy.batch(stacked), 3), actions[3], atol=1e-5)


def _first(policy: Policy, obs: Any) -> Any:
    """The action for the first observation of an episode."""
    policy.begin()
    return policy(obs)


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


def test_the_file_of_the_first_stage_has_a_policy(cloned: Path) -> None:
    obs = np.array([1.0, 0.0, 0.0])
    assert load_policy(cloned, which="final")(obs) == load_policy(cloned, which="bc")(obs)
    with pytest.raises(RQLError, match="one of bc, final"):
        load_policy(cloned, which="best")


def test_evaluating_a_run_finds_the_figures_of_its_record(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, report = finished, tmp_path / "report.json"
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


def test_an_episode_is_filmed(save: Save, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save("env=cartpole")
    films = tmp_path / "film.gif", tmp_path / "film.mp4"
    for film in films:
        evaluate.main([str(folder), "--episodes", "1", "--video", str(film), "--json", str(tmp_path / film.suffix)])
        assert f"written: {tmp_path / film.suffix}, {film}" in capsys.readouterr().out.replace("\n", " ")
    report = json.loads((tmp_path / ".mp4").read_text())["policies"]
    frames = next(row["episode_length"] for row in report if row["policy"] == "final") + 1
    with Image.open(films[0]) as gif:
        assert getattr(gif, "n_frames") <= -(-frames // 2) and gif.size == (600, 400)  # noqa: B009
    assert imageio_ffmpeg.count_frames_and_secs(str(films[1]))[0] == frames
