"""Robots: every named environment works as it is, keeps to its seed, and says in its own words when it succeeds."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium_robotics.envs.franka_kitchen.kitchen_env import OBS_ELEMENT_GOALS, OBS_ELEMENT_INDICES
from made_data import CPU
from metaworld.env_dict import ALL_V3_ENVIRONMENTS
from named_envs import NAMED, OGBENCH, flat, named_env
from torch import Tensor

from rql.config.data import EnvConfig
from rql.data.batch import RewardTransform
from rql.envs import display, families
from rql.envs.families import FAMILIES, Family
from rql.envs.make import env_of_spec, inspect_env, make_env, make_vector_env
from rql.envs.metaworld import ID
from rql.envs.spaces import DiscreteSpec, Spaces
from rql.evaluation.evaluator import first_episode_seed
from rql.evaluation.rollout import play
from rql.utils.errors import ConfigError
from rql.utils.random import stream_seed

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*share an object:UserWarning", "ignore:.*out of date", "ignore:.*Box", "ignore:Constant"
)


def still(spaces: Spaces, count: int) -> Tensor:
    """The middle of the action space, or its first action, for each of several environments."""
    if isinstance(spaces.action, DiscreteSpec):
        return torch.zeros(count, dtype=torch.int64)
    return torch.zeros(count, spaces.action.width)


@pytest.mark.parametrize("name", NAMED)
def test_every_named_environment_is_made_keeps_to_its_seed_and_is_evaluated(name: str) -> None:
    spaces, env = inspect_env(named_env(name))
    with closing(env):
        first = env.reset(seed=3)[0]
        assert spaces.observation.flatten_one(first).shape == (spaces.obs_dim,)
        actions = [env.action_space.sample() for _ in range(5)]
        played = [env.step(action)[:3] for action in actions]
        assert np.array_equal(flat(env, env.reset(seed=3)[0]), flat(env, first))
        for action, (obs, *outcome) in zip(actions, played, strict=True):
            again, *same = env.step(action)[:3]
            assert np.array_equal(flat(env, again), flat(env, obs)) and same == outcome
        assert not np.array_equal(flat(env, env.reset(seed=4)[0]), flat(env, first))
        envs = SyncVectorEnv([lambda: env], autoreset_mode=AutoresetMode.DISABLED)
        raw, limit = RewardTransform(), 5
        results = play(lambda obs: still(spaces, len(obs)), envs, spaces, 2, 3, raw, 0.99, CPU, limit)
        assert results.lengths.tolist() == [limit] * 2 and np.isfinite(results.returns).all()


@pytest.mark.parametrize("name", sorted(ALL_V3_ENVIRONMENTS)[::5])
def test_a_task_of_metaworld_shows_its_goal_within_its_bounds(name: str) -> None:
    env = make_env(EnvConfig(ID, {"env_name": name}))
    with closing(env):
        for seed in (1, None, None):
            obs, _ = env.reset(seed=seed)
            assert obs in env.observation_space and np.any(obs[-3:] != 0.0)
            following, *_ = env.step(np.zeros(4, np.float32))
            assert np.array_equal(following[-3:], obs[-3:])


def test_episodes_of_metaworld_go_on_from_the_seed_and_have_a_horizon() -> None:
    env, other = (make_env(named_env("metaworld_reach", **limit)) for limit in ({}, {"max_episode_steps": 7}))
    starts = [env.reset(seed=seed)[0].tolist() for seed in (5, None, None)]
    other.reset(seed=9)
    assert [other.reset(seed=seed)[0].tolist() for seed in (5, None, None)] == starts
    assert len({str(start) for start in starts}) == 3
    for task, horizon in ((env, 200), (other, 7)):
        ends = [task.step(task.action_space.sample())[3] for _ in range(horizon)]
        assert ends == [False] * (horizon - 1) + [True]


def test_goals_of_demonstrations_of_training_and_of_evaluation_are_different_ones() -> None:
    env = make_env(named_env("metaworld_pick_place"))
    evaluated = [first_episode_seed(seed) + episode for seed in (0, 1) for episode in range(5)]
    demonstrated = range(10)  # as dataset.seed=0 has them
    seeds = [*demonstrated, *(stream_seed(seed, "envs") for seed in (0, 1)), *evaluated]
    goals = {tuple(env.reset(seed=seed)[0][-3:]) for seed in seeds}
    assert len(goals) == len(seeds)


def test_a_task_that_metaworld_does_not_have_is_refused_with_those_it_has() -> None:
    with pytest.raises(ConfigError, match=r"env\.kwargs\.env_name=peg is not possible: one of assembly-v3.*peg-insert"):
        make_env(EnvConfig(ID, {"env_name": "peg"}))


def test_the_environment_of_a_set_made_in_metaworld_is_made_again() -> None:
    spec = make_env(named_env("metaworld_push")).spec
    assert spec is not None
    again = env_of_spec(type(spec).from_json(spec.to_json()), EnvConfig())
    assert (again.id, again.kwargs) == (ID, {"env_name": "push-v3", "max_episode_steps": 200})


Reach = Callable[[Any], None]


def reach_fetch(core: Any) -> None:
    core.goal = core._get_obs()["achieved_goal"].copy()


def cook(core: Any, tasks: list[str] | None = None) -> None:
    for task in tasks or core.goal:
        core.data.qpos[OBS_ELEMENT_INDICES[task]] = OBS_ELEMENT_GOALS[task]


def walk_to_goal(core: Any) -> None:
    core.set_xy(core.cur_goal_xy)


def place_cube(core: Any) -> None:
    core.data.joint("object_joint_0").qpos[:3] = core.data.mocap_pos[core._cube_target_mocap_ids[0]]


REACHED: dict[str, Reach] = {"fetch_reach": reach_fetch, "kitchen": cook}
if OGBENCH:
    REACHED |= {"ogbench_pointmaze_medium": walk_to_goal, "ogbench_cube_single": place_cube}


def succeeds(env: gymnasium.Env[Any, Any], action: Any) -> bool:
    info = env.step(action)[4]
    return bool(info["is_success"] if "is_success" in info else info["success"])


@pytest.mark.parametrize("name", REACHED)
def test_success_is_what_the_environment_says_it_is(name: str) -> None:
    env = make_env(named_env(name))
    still = np.zeros_like(env.action_space.sample())
    env.reset(seed=0)
    assert not any(succeeds(env, still) for _ in range(3))
    REACHED[name](env.unwrapped)
    assert any(succeeds(env, still) for _ in range(2))  # OGBench looks before it acts


def test_a_kitchen_succeeds_when_its_last_task_is_done_and_keeps_its_own_account() -> None:
    env = make_env(named_env("kitchen"))
    env.reset(seed=0)
    done: list[str] = []
    for task in ("microwave", "kettle", "light switch", "slide cabinet"):
        cook(env.unwrapped, [task])
        _, reward, terminated, _, info = env.step(np.zeros(9))
        done.append(task)
        assert (reward, info["step_task_completions"], info["episode_task_completions"]) == (1.0, [task], done)
        assert env.get_wrapper_attr("step_task_completions") == [task]
        assert info["success"] is terminated is (len(done) == 4)


@pytest.mark.parametrize("name", [*REACHED, "metaworld_reach"])
def test_robots_work_side_by_side(name: str) -> None:
    config = named_env(name, max_episode_steps=3)
    with closing(make_vector_env(config, 2, AutoresetMode.SAME_STEP)) as envs:
        envs.reset(seed=0)
        ends = [envs.step(envs.action_space.sample())[3].all() for _ in range(6)]
    assert ends == [False, False, True] * 2


EXAMPLES = ["FetchReach-v4", "rql/MetaWorld-v3", "scene-singletask-task1-v0"]


@pytest.mark.parametrize(("family", "id"), [*zip(FAMILIES, EXAMPLES, strict=True)], ids=EXAMPLES)
def test_an_environment_whose_package_is_missing_says_which(
    family: Family, id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(gymnasium.registry, id, raising=False)
    monkeypatch.setitem(sys.modules, family.module, None)
    with pytest.raises(ConfigError, match=rf"{id}.*it needs {family.package}: pip install 'rql\[{family.extra}\]'"):
        make_env(EnvConfig(id=id))


def broken(**_kwargs: Any) -> Any:
    raise AssertionError


gymnasium.register("FetchRQLTestBroken-v0", entry_point=broken)


def test_a_mujoco_that_is_too_new_is_named_with_the_command_that_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under MuJoCo 4.0.0 Fetch fails with an error that says nothing."""
    monkeypatch.setattr(families, "version", lambda _package: "4.0.0")
    with pytest.raises(ConfigError, match=r"AssertionError; .* up to 3\.11, and 4\.0\.0 is installed: pip install"):
        make_env(EnvConfig(id="FetchRQLTestBroken-v0"))
    monkeypatch.setattr(families, "version", lambda _package: "3.3.0")
    with pytest.raises(ConfigError, match=r"it failed with AssertionError$"):
        make_env(EnvConfig(id="FetchRQLTestBroken-v0"))


@pytest.mark.parametrize(
    ("libraries", "set_to", "chosen"),
    [(["EGL", "OSMesa"], "", "egl"), (["OSMesa"], "", "osmesa"), ([], "", ""), (["EGL"], "glfw", "glfw")],
)
def test_what_draws_without_a_display_is_chosen_where_nobody_chose(
    libraries: list[str], set_to: str, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(display, "find_library", lambda name: name if name in libraries else None)
    for name in display.CHOSEN:
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("MUJOCO_GL", set_to)
    display.draw_without_display()
    assert os.environ["MUJOCO_GL"] == chosen
    monkeypatch.setenv("MUJOCO_GL", "")
    monkeypatch.setenv("DISPLAY", ":0")
    display.draw_without_display()
    assert os.environ["MUJOCO_GL"] == ""


def test_pictures_of_cameras_that_hang_upside_down_are_turned(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    task: Any = make_env(named_env("metaworld_reach")).unwrapped
    task.reset()
    for camera in map(task.model.camera, range(task.model.ncam)):
        env: Any = make_env(named_env("metaworld_reach", camera_name=camera.name))
        env.reset()
        monkeypatch.setattr(env.unwrapped, "render", lambda: picture)
        hangs = task.data.cam_xmat[camera.id].reshape(3, 3)[2, 1] < 0.0  # where "up" of the picture points to
        assert np.array_equal(env.render(), picture[::-1, ::-1] if hangs else picture)


FILMED = """
import sys
from rql.config.data import EnvConfig
from rql.evaluation.video import open_camera
from rql.utils.errors import RQLError
for config in (EnvConfig(id, kwargs) for id, kwargs in {filmed}):
    try:
        camera = open_camera(config)
        print(camera.render().std() > 1.0)
        camera.close()
        del camera  # one that is collected while another draws blackens its pictures
    except RQLError as error:
        print("MUJOCO_GL" in str(error))
"""


def test_robots_are_filmed_or_say_what_is_missing() -> None:
    """One after the other in a process that has chosen nothing."""
    names = ["metaworld_reach", "fetch_reach", *(["ogbench_cube_single"] if OGBENCH else [])]
    filmed = [(config.id, config.kwargs) for config in (named_env(name, width=64, height=64) for name in names)]
    nothing = {name: value for name, value in os.environ.items() if name not in display.CHOSEN}
    code = FILMED.format(filmed=filmed)
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=nothing)
    assert answer.stdout.split()[-len(names) :] == ["True"] * len(names)
