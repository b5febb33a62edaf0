"""The expert of PointMaze: the shortest way through the cells of the maze."""

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

WALL = 1
"""How gymnasium-robotics' maps write a wall; all else can be walked on."""
STIFFNESS, DAMPING = 10.0, 2.0
"""Force for each unit of distance to the next cell, and against each unit of velocity."""

Cell = tuple[int, int]


class MazeExpert:
    """Pushes the ball toward the middle of the next cell on the shortest way, and in the last cell toward the goal."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        self._core: Any = env.unwrapped

    def begin(self, obs: Any, info: dict[str, Any], rng: np.random.Generator) -> None:
        """Nothing to do: the way is looked for at each step, for a goal may move in the middle of an episode."""

    def act(self, obs: Any, info: dict[str, Any]) -> NDArray[Any]:
        """The force (2,), which may leave the bounds."""
        place, velocity = np.split(np.asarray(obs["observation"]), 2)
        goal, cell = self._core.goal, self._cell(place)
        distance = distances(self._core.maze.maze_map, self._cell(goal))
        nearest = min((cell, *neighbours(cell)), key=lambda each: distance.get(each, np.inf))
        target = goal if nearest == cell else self._core.maze.cell_rowcol_to_xy(nearest)
        force: NDArray[Any] = STIFFNESS * (target - place) - DAMPING * velocity
        return force

    def _cell(self, place: NDArray[Any]) -> Cell:
        row, column = self._core.maze.cell_xy_to_rowcol(place)
        return int(row), int(column)


def neighbours(cell: Cell) -> list[Cell]:
    """The four cells beside one."""
    row, column = cell
    return [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]


def distances(maze: list[list[Any]], goal: Cell) -> dict[Cell, int]:
    """Steps from each cell that can reach the goal, by breadth-first search."""
    found = {goal: 0}
    reached = [goal]
    for cell in reached:
        for beside in neighbours(cell):
            inside = 0 <= beside[0] < len(maze) and 0 <= beside[1] < len(maze[0])
            if inside and beside not in found and maze[beside[0]][beside[1]] != WALL:
                found[beside] = found[cell] + 1
                reached.append(beside)
    return found
