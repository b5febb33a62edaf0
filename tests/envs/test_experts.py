"""The experts that come with environments: they solve them, and an episode of theirs depends on its seed alone."""

from typing import Any

import numpy as np
import pytest

from rql.config.data import EnvConfig
from rql.envs.experts import Demonstrating
from rql.envs.make import make_env
from rql.envs.maze_expert import distances
from rql.envs.ogbench_expert import presses

SOLVED = [
    *("scene-singletask-task2-v0", "puzzle-3x3-singletask-task2-v0", "peg-insert-side-v3", "door-open-v3"),
    *("PointMaze_UMaze-v3", "PointMaze_Medium_Diverse_GR-v3"),
]


def config_of(task: str) -> EnvConfig:
    own = task.endswith("-v0") or task.startswith("PointMaze")
    return EnvConfig(id=task) if own else EnvConfig(id="rql/MetaWorld-v3", kwargs={"env_name": task})


def demonstrated(env: Demonstrating, seed: int) -> tuple[list[Any], bool]:
    """The actions of an episode, and whether it succeeded."""
    env.reset(seed=seed)
    actions, succeeded, ended = list[Any](), False, False
    while not ended:
        actions.append(env.demonstrate())
        _, _, terminated, truncated, info = env.step(actions[-1])
        succeeded, ended = succeeded or bool(info["success"]), terminated or truncated
    return actions, succeeded


@pytest.mark.parametrize("task", SOLVED)
def test_an_expert_solves_its_task(task: str) -> None:
    config = config_of(task)
    with Demonstrating(make_env(config), config, noise=0.0) as env:
        assert demonstrated(env, 0)[1]


@pytest.mark.parametrize("task", ["cube-double-singletask-task1-v0", "reach-v3"])
def test_what_an_expert_does_depends_on_the_seed_alone(task: str) -> None:
    config = config_of(task)
    with Demonstrating(make_env(config), config, noise=0.3) as env:
        first = demonstrated(env, 5)[0]
        np.random.seed(1)
        drawn = np.random.random()
        np.random.seed(1)
        demonstrated(env, 6)
        assert np.array_equal(demonstrated(env, 5)[0], first)
        assert np.random.random() == drawn  # what others draw from numpy's global generator is their own
        low, high = env.action_space.low, env.action_space.high  # type: ignore[attr-defined]
    assert (np.stack(first) >= low).all() and (np.stack(first) <= high).all()


def test_the_way_through_a_maze_is_the_shortest_and_ends_at_its_walls() -> None:
    found = distances([[0, 0, 0], [1, 1, "c"], ["g", 1, 0]], (0, 0))
    assert found == {(0, 0): 0, (0, 1): 1, (0, 2): 2, (1, 2): 3, (2, 2): 4}


@pytest.mark.parametrize(("rows", "columns"), [(2, 2), (3, 3), (2, 3)])
def test_presses_put_wrong_buttons_right(rows: int, columns: int) -> None:
    count = rows * columns

    def turned(pressed: Any) -> Any:
        board = np.zeros((rows, columns), dtype=np.bool_)
        for number in np.flatnonzero(pressed):
            row, column = divmod(int(number), columns)
            for x, y in ((row, column), (row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)):
                if 0 <= x < rows and 0 <= y < columns:
                    board[x, y] ^= True
        return board.reshape(-1)

    every = [np.array([number >> bit & 1 for bit in range(count)], dtype=np.bool_) for number in range(2**count)]
    reachable = {turned(pressed).tobytes() for pressed in every}
    for wrong in every:
        found = turned(presses(rows, columns, wrong))
        assert np.array_equal(found, wrong) if wrong.tobytes() in reachable else not found.any()
