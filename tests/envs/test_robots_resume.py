"""Robots go on exactly where their state was saved."""

from contextlib import closing
from typing import Any

import pytest
from named_envs import MAZES, OGBENCH, ROBOTS, flat, named_env, scripted

from rql.config.data import EnvConfig
from rql.envs.make import make_env
from rql.envs.metaworld import ID
from rql.envs.restorable import Restorable
from rql.utils.tree import from_storable, same, to_storable

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*share an object", "ignore:.*out of date", "ignore:.*Box", "ignore:Constant"
)
LIMIT = 25
RESUMED = [name for name in (*ROBOTS, *MAZES) if not name.startswith("metaworld_")]
"""Of Meta-World's tasks `TOUCHING` has the harder ones."""


def played(env: Restorable, actions: list[Any]) -> list[Any]:
    """All that the steps and the resets between them give."""
    seen: list[Any] = []
    for action in actions:
        obs, reward, terminated, truncated, _ = env.step(action)
        seen += [flat(env, obs).tolist(), float(reward), terminated, truncated]
        if terminated or truncated:
            seen.append(flat(env, env.reset()[0]).tolist())
    return seen


def two(config: EnvConfig) -> tuple[Restorable, Restorable]:
    """The environment in the middle of its second episode, and another instance somewhere else."""
    one, other = (Restorable(make_env(config), 0) for _ in range(2))
    for env, seed, steps in ((one, 3, LIMIT + 12), (other, 9, LIMIT + 5)):
        env.reset(seed=seed)
        env.action_space.seed(seed)
        played(env, [env.action_space.sample() for _ in range(steps)])
    return one, other


@pytest.mark.parametrize("name", RESUMED)
def test_a_robot_goes_on_exactly_in_the_middle_of_an_episode(name: str) -> None:
    one, other = two(named_env(name, max_episode_steps=LIMIT))
    with closing(one), closing(other):
        actions = [one.action_space.sample() for _ in range(2 * LIMIT)]
        saved = from_storable(to_storable(one.saved_state()))
        expected = played(one, actions)
        other.load_states([saved])
        assert played(other, actions) == expected
        assert same(other.saved_state(), one.saved_state())


TOUCHING = ["peg-insert-side-v3", "basketball-v3", "bin-picking-v3", "door-lock-v3", "sweep-v3"]
"""Tasks of Meta-World whose goals or objects are where bodies are at the time, or are reached by pushing."""


@pytest.mark.parametrize("name", TOUCHING)
def test_a_task_of_metaworld_goes_on_exactly_with_an_object_in_its_hand(name: str) -> None:
    one, other = two(EnvConfig(ID, {"env_name": name, "max_episode_steps": 90}))
    policy, obs = scripted(name), one.reset()[0]
    for _ in range(60):
        obs = one.step(policy.get_action(obs).clip(-1.0, 1.0))[0]
    saved, actions, expected = one.saved_state(), [], []
    for _ in range(60):
        actions.append(policy.get_action(obs).clip(-1.0, 1.0))
        expected += played(one, actions[-1:])
        obs = one.get_wrapper_attr("_last_stable_obs")
    assert saved is not None
    other.load_states([saved])
    assert played(other, actions) == expected


@pytest.mark.parametrize("name", ["HandReach-v3", *(["humanoidmaze-medium-v0"] if OGBENCH else [])])
def test_the_state_of_a_robot_that_is_not_known_is_not_claimed(name: str) -> None:
    env = Restorable(make_env(EnvConfig(name)), 0)
    env.reset(seed=0)
    assert env.saved_state() is None
