"""Evaluation and collection: every episode counts once, and an episode's last observation is its own."""

import logging
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from agent_states import first_state, started
from conftest import compose_config, stepped
from counter_env import CONFIG, TEST_SPACES
from gymnasium.vector import AutoresetMode
from made_data import CPU, transitions
from PIL import Image

from rql.agents.build import build_agent
from rql.collect.rollout import collect
from rql.config.choices import Vectorization
from rql.config.data import EnvConfig
from rql.data.batch import RewardTransform
from rql.data.journal import Journal, read_episodes
from rql.data.reference_scores import reference_score
from rql.envs.make import make_vector_env
from rql.envs.spaces import describe
from rql.envs.training import TrainingEnvs
from rql.evaluation.evaluator import Evaluator, first_episode_seed
from rql.evaluation.rollout import play
from rql.training.collector import Collector
from rql.utils.errors import ConfigError


def idle(obs: torch.Tensor) -> torch.Tensor:
    return torch.zeros(len(obs), 2)


@pytest.mark.parametrize("vectorization", Vectorization)
@pytest.mark.parametrize("num_envs", [1, 3, 7])
def test_each_episode_counts_once_however_long_it_is(num_envs: int, vectorization: Vectorization) -> None:
    envs = make_vector_env(EnvConfig(id=CONFIG.id, vectorization=vectorization), num_envs, AutoresetMode.DISABLED)
    results = play(idle, envs, TEST_SPACES, 20, 100, RewardTransform(2.0, 1.0), 0.5, CPU, step_limit=10)
    envs.close()
    lengths = np.array([2 + (100 + i) % 9 for i in range(20)])
    assert results.lengths.tolist() == lengths.tolist() and results.cut == 0
    assert results.returns.tolist() == (lengths**2).tolist()
    assert results.successes is not None and results.successes.tolist() == (lengths % 2 == 0).astype(float).tolist()
    metrics = results.metrics()
    assert metrics["return"] == pytest.approx(np.mean(lengths**2)) and metrics["return_episodes"] == 20
    assert metrics["return_std"] == pytest.approx(np.std(lengths**2)) and metrics["return_max"] == max(lengths**2)
    assert results.discounted == pytest.approx((2 * lengths + 1) * (2 - 2.0 ** (1 - lengths)))
    assert results.first_obs.tolist() == [[length, 0, 0] for length in lengths]
    assert metrics["success_rate"] == pytest.approx(np.mean(lengths % 2 == 0))


@pytest.mark.parametrize("num_envs", [1, 3])
def test_an_episode_that_does_not_end_is_cut_off(num_envs: int) -> None:
    envs = make_vector_env(CONFIG, num_envs, AutoresetMode.DISABLED)
    results = play(idle, envs, TEST_SPACES, 20, 100, RewardTransform(), 1.0, CPU, step_limit=5)
    lengths = np.array([2 + (100 + i) % 9 for i in range(20)])
    cut = np.minimum(lengths, 5)
    assert results.lengths.tolist() == cut.tolist() and results.cut == (lengths > 5).sum()
    assert results.returns.tolist() == (lengths * cut).tolist() == results.discounted.tolist()


def test_a_collected_episode_that_does_not_end_is_truncated(tmp_path: Path) -> None:
    with closing(make_vector_env(CONFIG, 3, AutoresetMode.DISABLED)) as envs:
        journal = Journal(tmp_path / "journal", {})
        cut = collect(lambda obs, _: np.zeros((len(obs), 2)), envs, journal, None, 9, 100, None, 4, lambda: None)
        journal.close()
    lengths = [2 + (100 + i) % 9 for i in range(9)]
    found = {episode.seed: episode for episode in read_episodes(journal.path)}
    assert [len(found[100 + i].rewards) for i in range(9)] == [min(length, 4) for length in lengths]
    assert cut == sum(length > 4 for length in lengths) == 6
    assert all(found[100 + i].truncations[-1] for i, length in enumerate(lengths) if length > 4)


class Endless(gymnasium.Env[Any, Any]):
    """Pays 1 for ever."""

    observation_space, action_space = (
        gymnasium.spaces.Box(-1.0, 1.0, (3,), np.float32),
        gymnasium.spaces.Box(-1.0, 1.0, (2,)),
    )
    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}  # noqa: RUF012 (as gymnasium has it)
    render_mode = "rgb_array"

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(3, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return np.zeros(3, np.float32), 1.0, False, False, {}

    def render(self) -> Any:
        return np.zeros((8, 8, 3), np.uint8)


gymnasium.register("RQLTestEndless-v0", entry_point=lambda **_: Endless())


def test_an_evaluation_without_end_is_cut_off_with_a_warning_that_names_the_key(caplog: Any, tmp_path: Path) -> None:
    own = ["env.id=RQLTestEndless-v0", "evaluation.max_episode_steps=7", "evaluation.episodes=2"]
    config = compose_config(*own, "evaluation.boundary_episodes=2", "evaluation.num_envs=2")
    agent = build_agent(config, TEST_SPACES, CPU)
    state = first_state(agent, TEST_SPACES)
    evaluator = Evaluator(agent, TEST_SPACES, config, RewardTransform(), None, CPU)
    with closing(evaluator), caplog.at_level(logging.WARNING):
        assert evaluator.during(state, "bc")["return"] == evaluator.during(state, "bc")["episode_length"] == 7.0
        evaluator.film(state, "bc", Endless(), tmp_path / "film.gif")
    assert caplog.text.count("evaluation.max_episode_steps=7 cut off 2 of 2 episodes, which RQLTestEndless-v0") == 1
    with Image.open(tmp_path / "film.gif") as film:
        assert getattr(film, "n_frames", 1) <= 8


def test_an_evaluation_without_the_success_that_is_its_headline_ends_in_one_sentence() -> None:
    """Which the look at an environment cannot foresee that never ends an episode by itself."""
    own = ["env.id=RQLTestEndless-v0", "env.headline=success", "evaluation.max_episode_steps=7"]
    config = compose_config(*own, "evaluation.episodes=2", "evaluation.num_envs=2")
    agent = build_agent(config, TEST_SPACES, CPU)
    evaluator = Evaluator(agent, TEST_SPACES, config, RewardTransform(), None, CPU)
    with closing(evaluator), pytest.raises(ConfigError, match=r"env\.headline=success is not possible: return, "):
        evaluator.during(first_state(agent, TEST_SPACES), "bc")


def test_environments_that_report_no_success_have_no_success_rate() -> None:
    envs = make_vector_env(EnvConfig(id="CartPole-v1"), 2, AutoresetMode.DISABLED)
    spaces = describe("CartPole-v1", envs.single_observation_space, envs.single_action_space)
    results = play(
        lambda obs: torch.zeros(len(obs), dtype=torch.int64), envs, spaces, 3, 0, RewardTransform(), 0.9, CPU, 500
    )
    assert "success_rate" not in results.metrics()


@pytest.mark.parametrize("num_envs", [1, 3])
def test_collected_transitions_are_whole_and_their_flags_survive(num_envs: int) -> None:
    config = compose_config(f"env.id={CONFIG.id}")
    agent = build_agent(config, TEST_SPACES, torch.device("cpu"))
    state = started(agent, TEST_SPACES, transitions(TEST_SPACES))
    with closing(TrainingEnvs(replace(CONFIG, num_envs=num_envs), 3)) as envs:
        collector = Collector(agent, envs, TEST_SPACES, torch.Generator().manual_seed(0), None)
        steps = [stepped(collector, state, "final") for _ in range(60)]
    made = [one.step for one in steps if one.step is not None]
    obs, reward, terminated = (np.concatenate([s.columns[n] for s in made]) for n in ("obs", "reward", "terminated"))
    next_obs, length, step = np.concatenate([s.following["obs"] for s in made]), obs[:, 0], obs[:, 1]
    assert np.array_equal(next_obs[:, 0], length) and np.array_equal(next_obs[:, 1], step + 1)
    assert np.array_equal(reward, length)
    last = step + 1 == length
    assert last.sum() > 5
    assert np.array_equal(terminated, last & (length % 2 == 1))
    assert np.array_equal(np.concatenate([s.ended for s in made]), last)
    assert sorted(r for _, finished in steps for r in finished) == sorted((length[last] ** 2).tolist())


def test_evaluation_is_repeatable_and_leaves_other_random_numbers_alone() -> None:
    config = compose_config("env=cartpole", "evaluation.boundary_episodes=3", "evaluation.num_envs=2")
    spaces = describe("CartPole-v1", *_spaces("CartPole-v1"))
    agent = build_agent(config, spaces, torch.device("cpu"))
    state = first_state(agent, spaces)
    evaluator = Evaluator(agent, spaces, config, RewardTransform(), None, CPU)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # type: ignore[index]
    first = evaluator.at_end(state, "final")
    evaluator.during(state, "bc")
    assert evaluator.at_end(state, "final") == first
    assert {"return", "return_std", "sample_return", "episode_length"} <= first.metrics.keys()
    assert [episode.mode for episode in first.episodes] == ["mode"] * 3 + ["sample"] * 3
    seeds = [episode.seed for episode in first.episodes]
    assert seeds[:3] == seeds[3:] == [first_episode_seed(config.seed) + number for number in range(3)]
    assert np.mean([episode.value for episode in first.episodes[:3]]) == first.metrics["return"]
    assert np.mean([episode.length for episode in first.episodes[3:]]) == first.metrics["sample_episode_length"]
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == np.random.get_state()[1].tolist()  # type: ignore[index]


def _spaces(env_id: str) -> tuple[Any, Any]:
    env = gymnasium.make(env_id)
    return env.observation_space, env.action_space


def test_reference_scores_are_those_of_d4rl_for_every_version_of_a_task() -> None:
    for version in ("Hopper-v4", "Hopper-v5"):
        reference = reference_score(None, version)
        assert reference is not None and reference.score(3234.3) == pytest.approx(100.0)
    assert reference_score(None, "Pendulum-v1") is None
