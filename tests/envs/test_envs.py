"""Environments: observations of any make, goals, and the families of D4RL."""

from contextlib import closing
from typing import Any

import gymnasium
import minari
import numpy as np
import pytest
from conftest import TINY, Cli, summary_of
from gymnasium import spaces as gym_spaces
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import TimeAwareObservation

from rql.config.choices import Vectorization
from rql.config.data import EnvConfig
from rql.envs.make import env_of_spec, inspect_env, make_env, make_vector_env
from rql.envs.spaces import describe
from rql.envs.vector import last_observations
from rql.utils.errors import ConfigError

UNIT = gym_spaces.Box(-1.0, 1.0, (1,))
GOAL = gym_spaces.Dict(
    {
        "observation": gym_spaces.Box(-9.0, 9.0, (3,)),
        "achieved_goal": gym_spaces.Box(-9.0, 9.0, (2,)),
        "desired_goal": gym_spaces.Box(-9.0, 9.0, (2,)),
    }
)


def test_a_goal_environment_shows_observation_and_desired_goal_unless_told_otherwise() -> None:
    obs = {
        "observation": np.arange(6).reshape(2, 3),
        "achieved_goal": np.zeros((2, 2)),
        "desired_goal": np.ones((2, 2)),
    }
    as_in_d4rl = describe("x", GOAL, UNIT)
    assert as_in_d4rl.obs_dim == 5
    assert as_in_d4rl.observation.flatten(obs).tolist() == [[0, 1, 2, 1, 1], [3, 4, 5, 1, 1]]
    chosen = describe("x", GOAL, UNIT, ["achieved_goal", "observation"])
    assert chosen.observation.flatten(obs).tolist() == [[0, 0, 0, 1, 2], [0, 0, 3, 4, 5]]
    one = {key: value[1] for key, value in obs.items()}
    assert as_in_d4rl.observation.flatten_one(one).tolist() == [3, 4, 5, 1, 1]
    with pytest.raises(ConfigError, match=r"env.obs_keys=\['goal'\].*achieved_goal, desired_goal, observation"):
        describe("x", GOAL, UNIT, ["goal"])


def test_nested_and_discrete_observations_are_laid_flat() -> None:
    space = gym_spaces.Tuple(
        [gym_spaces.Discrete(3, start=5), gym_spaces.Dict({"b": UNIT, "a": gym_spaces.Box(0.0, 1.0, (2, 2))})]
    )
    spaces = describe("x", space, UNIT)
    obs = (np.array([5, 7]), {"b": np.array([[0.5], [0.25]]), "a": np.arange(8).reshape(2, 2, 2)})
    assert spaces.observation.flatten(obs).tolist() == [[1, 0, 0, 0, 1, 2, 3, 0.5], [0, 0, 1, 4, 5, 6, 7, 0.25]]
    outside = (np.array([5, 9]), obs[1])
    assert np.isnan(spaces.observation.flatten(outside)[1, :3]).all()
    with pytest.raises(ConfigError, match=r"Text.*Box, Discrete, Multi"):
        describe("x", gym_spaces.Text(4), UNIT)


def test_multiple_choices_are_one_hot_and_bits_are_numbers() -> None:
    choices = gym_spaces.MultiDiscrete(np.array([[2, 3]]), start=np.array([[0, 5]]))
    space = gym_spaces.Tuple([choices, gym_spaces.MultiBinary((2, 2)), gym_spaces.MultiBinary(1)])
    seen = describe("x", space, UNIT).observation
    assert seen.dim == 2 + 3 + 4 + 1 and seen.stored_form == ((10,), np.dtype(np.float32))
    obs = (
        np.array([[[1, 5]], [[0, 7]]]),
        np.array([[[0, 1], [1, 1]], [[1, 0], [0, 0]]], np.int8),
        np.array([[1], [0]]),
    )
    flat = [[0, 1, 1, 0, 0, 0, 1, 1, 1, 1], [1, 0, 0, 0, 1, 1, 0, 0, 0, 0]]
    assert seen.flatten(obs).tolist() == flat
    outside = seen.flatten((np.array([[[2, 8]], [[0, 5]]]), np.full((2, 2, 2), 2), obs[2]))
    assert (
        np.isnan(outside[0, :9]).all()
        and outside[1, :5].tolist() == [1, 0, 1, 0, 0]
        and np.isnan(outside[1, 5:9]).all()
    )
    sampled = space.sample()
    assert np.isfinite(seen.flatten_one(sampled)).all() and seen.flatten_one(sampled).sum() >= 2.0


IMAGES: dict[str, gym_spaces.Box] = {
    "colours": gym_spaces.Box(0, 255, (84, 84, 3), np.uint8),
    "greys": gym_spaces.Box(0, 255, (84, 84), np.uint8),
    "a stack": gym_spaces.Box(0, 255, (4, 84, 84), np.uint8),
    "shares": gym_spaces.Box(0.0, 1.0, (84, 84, 3), np.float32),
}


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
def test_images_are_laid_flat_on_request_only(image: gym_spaces.Box) -> None:
    numbers = f"{int(np.prod(image.shape)):,} numbers"
    camera = gym_spaces.Dict({"camera": image, "joints": UNIT})
    for space in (image, camera, gym_spaces.Tuple([UNIT, image])):
        with pytest.raises(ConfigError, match=rf"env\.flatten_images=False.*x shows an image, Box.*{numbers}"):
            describe("x", space, UNIT)
        assert describe("x", space, UNIT, flatten_images=True).obs_dim >= np.prod(image.shape)
    assert describe("x", camera, UNIT, ["joints"]).obs_dim == 1


def test_what_has_few_dimensions_is_no_image() -> None:
    for space in (gym_spaces.Box(0, 255, (128,), np.uint8), gym_spaces.Box(-1.0, 1.0, (5, 6))):
        assert describe("x", space, UNIT).obs_dim == np.prod(space.shape)


class Painted(gymnasium.Env[Any, Any]):
    """Shows noise."""

    observation_space: gym_spaces.Box = IMAGES["colours"]
    action_space = UNIT

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.observation_space.sample(), 0.0, False, False, {}


gymnasium.register("RQLTestPainted-v0", entry_point=lambda **_: Painted())


def test_the_key_says_that_an_environment_s_images_are_laid_flat() -> None:
    with pytest.raises(ConfigError, match=r"RQLTestPainted-v0 shows an image"):
        inspect_env(EnvConfig(id="RQLTestPainted-v0"))
    spaces, _ = inspect_env(EnvConfig(id="RQLTestPainted-v0", flatten_images=True))
    assert spaces.obs_dim == 21_168


LARGEST = float(np.finfo(np.float32).max)


@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [
        (-np.inf, np.inf, np.float32),
        (-LARGEST, LARGEST, np.float32),
        (-1e20, 1e20, np.float32),
        (-1e20, 1e20, np.float64),
        (0.0, 1e10, np.float32),
        (0.0, 0.0, np.float32),
        (1e6, 1e6 + 0.25, np.float32),
    ],
)
def test_bounds_of_actions_that_are_none_are_refused(low: float, high: float, dtype: Any) -> None:
    """An action that is a share of them would not come back as it was."""
    action = gym_spaces.Box(dtype(low), dtype(high), (2,), dtype)
    with pytest.raises(ConfigError, match=r"env\.id=x is not possible: its actions are Box.*bounds below 1e\+09"):
        describe("x", UNIT, action)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("low", "high"), [(-2.0, 2.0), (0.0, 1e6), (-1e-6, 1e-6), (99.0, 100.0)])
def test_bounds_of_any_unit_are_taken(low: float, high: float, dtype: Any) -> None:
    spec = describe("x", UNIT, gym_spaces.Box(dtype(low), dtype(high), (1,), dtype)).action
    third = np.array([[low + (high - low) / 3]])
    assert np.allclose(spec.from_env(third), -1 / 3, atol=1e-4)
    assert np.allclose(spec.to_env(spec.from_env(third)), third)


class Goal(gymnasium.Env[Any, Any]):
    """A point that walks by its action towards its goal, three steps away, and says nothing of success."""

    observation_space = GOAL
    action_space = gym_spaces.Box(-1.0, 1.0, (2,))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.at, self.goal, self.steps = np.zeros(2), np.array([3.0, 0.0]), 0
        return self._obs(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.at, self.steps = self.at + action, self.steps + 1
        return self._obs(), self.compute_reward(self.at, self.goal, {}), False, self.steps >= 5, {}

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> float:
        return 0.0 if np.linalg.norm(achieved - desired) < 0.1 else -1.0

    def _obs(self) -> Any:
        seen = {"observation": np.full(3, self.steps), "achieved_goal": self.at, "desired_goal": self.goal}
        return {key: value.astype(np.float32) for key, value in seen.items()}


gymnasium.register("RQLTestGoal-v0", entry_point=lambda **_: Goal())


def test_reaching_the_goal_is_success_where_the_environment_says_nothing() -> None:
    with make_env(EnvConfig(id="RQLTestGoal-v0")) as env:
        env.reset(seed=0)
        reported = [env.step(np.array([1.0, 0.0]))[4]["success"] for _ in range(5)]
    assert reported == [False, False, True, False, False]


@pytest.mark.parametrize("vectorization", Vectorization)
def test_the_last_observation_of_a_dictionary_is_its_own(vectorization: Vectorization) -> None:
    config = EnvConfig(id="RQLTestGoal-v0", vectorization=vectorization)
    spaces = describe(config.id, GOAL, Goal.action_space)
    with closing(make_vector_env(config, 2, AutoresetMode.SAME_STEP)) as envs:
        envs.reset(seed=0)
        for _ in range(5):
            obs, _, terminated, truncated, infos = envs.step(np.ones((2, 2), np.float32))
    done = terminated | truncated
    assert done.all() and spaces.observation.flatten(obs)[:, 0].tolist() == [0, 0]
    flat = last_observations(spaces.observation, spaces.observation.flatten(obs), done, infos)
    assert flat.tolist() == [[5, 5, 5, 3, 0]] * 2


FAMILIES = {
    "PointMaze_UMaze-v3": (4 + 2, 2),
    "AntMaze_UMaze-v4": (27 + 2, 8),
    "AntMaze_UMaze-v5": (105 + 2, 8),
    "AdroitHandDoor-v1": (39, 28),
    "Hopper-v4": (11, 3),
    "Hopper-v5": (11, 3),
    "Walker2d-v4": (17, 6),
    "HalfCheetah-v5": (17, 6),
    "Ant-v5": (105, 8),
}


@pytest.mark.parametrize(("env_id", "dims"), FAMILIES.items(), ids=list(FAMILIES))
def test_the_families_of_d4rl(env_id: str, dims: tuple[int, int]) -> None:
    spaces, env = inspect_env(EnvConfig(id=env_id))
    assert (spaces.obs_dim, spaces.action.width) == dims
    spec = env.spec
    assert spec is not None and env_of_spec(spec, EnvConfig()).kwargs["max_episode_steps"] == spec.max_episode_steps


def test_a_wrapped_environment_is_not_taken_over() -> None:
    env = TimeAwareObservation(gymnasium.make("Pendulum-v1"))
    assert env.spec is not None
    with pytest.raises(ConfigError, match="Pendulum-v1, is wrapped in TimeAwareObservation"):
        env_of_spec(env.spec, EnvConfig())


def test_a_maze_from_its_data_to_finetuning(cli: Cli, tmp_path: Any, monkeypatch: Any) -> None:
    """Collected, opened with the environment of the data set, trained with rewards -1 and 0, success reported."""
    from rql.__main__ import main

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    limit = "++env.kwargs.max_episode_steps=40"
    named = ["env=pointmaze_umaze", "id=D4RL/pointmaze/umaze-v2", "episodes=4"]
    main(["collect", f"hydra.run.dir={tmp_path}", limit, *named])
    data = minari.load_dataset("D4RL/pointmaze/umaze-v2")
    assert isinstance(data.observation_space, gym_spaces.Dict) and data.env_spec.max_episode_steps == 40
    tiny = [override for override in TINY if "dataset" not in override]
    named = ["dataset=pointmaze_umaze", "env=from_dataset", "reward=minus_one"]
    summary = summary_of(cli(*tiny, *named, "env.num_envs=2"))
    assert 0.0 <= summary["online/success_rate"] <= 1.0
    score = 100 * (summary["online/return"] - 23.85) / (161.86 - 23.85)
    assert summary["online/normalized_score"] == pytest.approx(score) and summary["online/return"] >= 0.0


def test_black_jack_has_tuples(cli: Cli) -> None:
    scratch = ["experiment=cartpole_scratch", "env.id=Blackjack-v1"]
    summary = summary_of(cli(*[tiny for tiny in TINY if "updates" not in tiny and "dataset" not in tiny], *scratch))
    assert -1.0 <= summary["online/return"] <= 1.5
