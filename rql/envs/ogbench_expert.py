"""The expert of OGBench's tabletop tasks: OGBench's own oracles for one object, one after the other."""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from numpy.typing import NDArray

Info = dict[str, Any]
PLACED = 0.04
"""Metres (of drawer and window too) from its goal at which OGBench takes an object for placed."""
UNLOCKED = 1
"""The state of a button that leaves drawer or window free to move."""
LOCKS = {"drawer": 0, "window": 1}
"""Which button locks what."""


class Subtask(NamedTuple):
    """One object to be moved or pressed."""

    kind: str
    """Which oracle does it."""
    aim: Callable[[], Info]
    """What the oracle wants to know, which OGBench itself says only where it collects data without a task."""


class OGBenchExpert:
    """Does what is left to do, one object at a time."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        self._core: Any = env.unwrapped
        self._env, self._rng = env, np.random.default_rng()
        self._oracle: Any = None
        self._aim: Callable[[], Info] = dict

    def begin(self, obs: Any, info: Info, rng: np.random.Generator) -> None:
        """Take the first object."""
        self._rng, self._oracle = rng, None
        self._take(obs, info)

    def act(self, obs: Any, info: Info) -> NDArray[Any]:
        """The next action for the object in hand, or for the next one."""
        if self._oracle.done:
            self._take(obs, info)
        action: NDArray[Any] = self._oracle.select_action(obs, info | self._aim())
        return action

    def _take(self, obs: Any, info: Info) -> None:
        left = next(self._left(info), None)
        if left is not None:
            module = importlib.import_module(f"ogbench.manipspace.oracles.markov.{left.kind}_markov")
            self._oracle = getattr(module, f"{left.kind.capitalize()}MarkovOracle")(env=self._env)
            self._aim = left.aim
        with _numpy_seeded(self._rng):  # where an oracle goes when its object is done
            self._oracle.reset(obs, info | self._aim())

    def _left(self, info: Info) -> Iterator[Subtask]:
        """What is left to do, or where nothing is, one that is done."""
        core = self._core
        if hasattr(core, "_target_drawer_pos"):
            yield from self._furniture(info)
        for cube in range(getattr(core, "_num_cubes", 0)):
            if np.linalg.norm(info[f"privileged/block_{cube}_pos"] - self._cube_goal(cube)) > PLACED:
                yield self._cube(cube)
        if hasattr(core, "_num_rows"):
            for button in np.flatnonzero(presses(core._num_rows, core._num_cols, self._wrong_buttons())):
                yield self._button(int(button))
        elif hasattr(core, "_num_buttons"):
            yield from map(self._button, np.flatnonzero(self._wrong_buttons()).tolist())
        if self._oracle is None:
            yield self._cube(0) if hasattr(core, "_num_cubes") else self._button(0)

    def _furniture(self, info: Info) -> Iterator[Subtask]:
        core = self._core
        for kind, lock in LOCKS.items():
            if abs(info[f"privileged/{kind}_pos"][0] - getattr(core, f"_target_{kind}_pos")) > PLACED:
                locked = core._cur_button_states[lock] != UNLOCKED
                yield self._button(lock) if locked else self._handle(kind)

    def _cube(self, cube: int) -> Subtask:
        named = {"target_block": cube, "target_block_pos": self._cube_goal(cube), "target_block_yaw": np.zeros(1)}
        return Subtask("cube", lambda: _privileged(named))

    def _cube_goal(self, cube: int) -> NDArray[Any]:
        goal: NDArray[Any] = self._core._data.mocap_pos[self._core._cube_target_mocap_ids[cube]].copy()
        return goal

    def _button(self, button: int) -> Subtask:
        core = self._core
        site, turned = core._button_site_ids[button], 1 - core._cur_button_states[button]

        def aim() -> Info:
            top = core._data.site_xpos[site].copy()
            return _privileged({"target_button": button, "target_button_state": turned, "target_button_top_pos": top})

        return Subtask("button", aim)

    def _handle(self, kind: str) -> Subtask:
        core, site = self._core, getattr(self._core, f"_{kind}_target_site_id")
        return Subtask(kind, lambda: _privileged({f"target_{kind}_handle_pos": core._data.site_xpos[site].copy()}))

    def _wrong_buttons(self) -> NDArray[np.bool_]:
        wrong: NDArray[np.bool_] = self._core._cur_button_states != self._core._target_button_states
        return wrong


def presses(rows: int, columns: int, wrong: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which buttons (rows · columns,) to press where each press turns a button and its neighbours, and these are wrong.

    Solves A x = b over the integers modulo 2 by Gaussian elimination; all False where there is no solution.
    """
    count = rows * columns
    places = np.array([divmod(number, columns) for number in range(count)])
    distances = np.abs(places[:, None] - places[None]).sum(axis=-1)
    system = np.concatenate([distances <= 1, wrong[:, None]], axis=1)
    pivots: list[int] = []
    for column in range(count):
        found = np.flatnonzero(system[len(pivots) :, column])
        if not len(found):
            continue
        row = len(pivots)
        system[[row, row + found[0]]] = system[[row + found[0], row]]
        others = system[:, column].copy()
        others[row] = False
        system[others] ^= system[row]
        pivots.append(column)
    pressed = np.zeros(count, dtype=np.bool_)
    if not system[len(pivots) :, -1].any():
        pressed[pivots] = system[: len(pivots), -1]
    return pressed


def _privileged(named: Info) -> Info:
    return {f"privileged/{name}": value for name, value in named.items()}


@contextmanager
def _numpy_seeded(rng: np.random.Generator) -> Iterator[None]:
    """numpy's global generator seeded by another, and as it was before afterwards."""
    before = np.random.get_state()
    np.random.seed(int(rng.integers(2**31)))
    try:
        yield
    finally:
        np.random.set_state(before)
