"""The toy with two ways, and its expert."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from rql.config.data import EnvConfig
from rql.envs.experts import Demonstrating
from rql.envs.make import make_env
from rql.envs.two_ways import TwoWays

CONFIG = EnvConfig("rql/TwoWays-v0")


def test_it_is_an_environment_as_gymnasium_wants_it() -> None:
    check_env(gymnasium.make("rql/TwoWays-v0", render_mode="rgb_array").unwrapped)


@pytest.mark.parametrize(
    ("actions", "terminated", "success"),
    [
        ([[0.6, 0.0]], True, False),
        ([[0.6, 0.28]], True, False),
        ([[0.6, 0.72]], True, False),
        ([[0.6, 0.5], [0.6, 0.3]], True, False),
        ([[0.6, 0.5]] + [[0.6, 0.0]] * 3, True, True),
        ([[0.6, -0.5]] + [[0.6, 0.0]] * 3, True, True),
        ([[0.0, 0.0]] * 10, False, False),
    ],
)
def test_the_chasm_and_the_other_side_end_an_episode(
    actions: list[list[float]], terminated: bool, success: bool
) -> None:
    with make_env(CONFIG) as env:
        env.reset(seed=0)
        made = [env.step(np.array(action, np.float32)) for action in actions]
    assert not any(one[2] or one[3] for one in made[:-1])
    _, reward, ended, cut, info = made[-1]
    assert (ended, cut, reward, info["is_success"]) == (terminated, not terminated, float(success), success)


def test_its_expert_takes_both_ways_and_arrives() -> None:
    env, sides, successes = Demonstrating(make_env(CONFIG), CONFIG, noise=0.04), list[float](), 0
    for seed in range(40):
        obs, _ = env.reset(seed=seed)
        ended, heights, info = False, [0.0], dict[str, Any]()
        while not ended:
            obs, _, terminated, truncated, info = env.step(env.demonstrate())
            ended = terminated or truncated
            heights.append(float(obs[1]))
        sides.append(float(np.sign(max(heights, key=abs))))
        successes += info["is_success"]
    assert successes >= 36 and 10 <= sides.count(1.0) <= 30


def test_a_picture_shows_the_way() -> None:
    env = TwoWays("rgb_array")
    env.reset(seed=0)
    before = env.render()
    env.step(np.array([0.5, 1.0]))
    assert before.shape == env.render().shape == (160, 160, 3) and not np.array_equal(before, env.render())
