"""Training environments whose state can be saved, so that a run goes on in the middle of an episode.

What is saved of an environment is what is plain in the attributes of it and its wrappers: numbers, arrays, random
generators and MuJoCo's data. That this is all there is, is known for gymnasium's own environments only.
"""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import gymnasium
import numpy as np

from rql.utils.tree import is_storable

KNOWN = ("gymnasium.envs.classic_control.", "gymnasium.envs.mujoco.", "gymnasium.envs.toy_text.")
"""Environments that are saved exactly: all that changes in them is in plain attributes and MuJoCo's data."""
KNOWN_WRAPPERS = ("gymnasium.wrappers.", "rql.")
RANDOM, PHYSICS = "random generator", "physics"

State = dict[str, Any]


class Restorable(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Number `index` of parallel environments, with its state in and out."""

    def __init__(self, env: gymnasium.Env[Any, Any], index: int) -> None:
        super().__init__(env)
        self._index = index

    def saved_state(self) -> list[State] | None:
        """All that decides how the environment goes on; None if that is not known."""
        *wrappers, core = _layers(self.env)
        known = all(type(layer).__module__.startswith(KNOWN_WRAPPERS) for layer in wrappers)
        if not known or not f"{type(core).__module__}.".startswith(KNOWN):
            return None
        return [_state_of(layer) for layer in (*wrappers, core)]

    def load_states(self, states: list[list[State]]) -> None:
        """Go on from this environment's entry of what `saved_state` gave for each of them."""
        for layer, state in zip(_layers(self.env), states[self._index], strict=True):
            _load(layer, state)


def _layers(env: gymnasium.Env[Any, Any]) -> Iterator[gymnasium.Env[Any, Any]]:
    while isinstance(env, gymnasium.Wrapper):
        yield env
        env = env.env
    yield env


def _state_of(layer: Any) -> State:
    state: State = {}
    for name, value in vars(layer).items():
        if isinstance(value, np.random.Generator):
            state[name] = {RANDOM: value.bit_generator.state}
        elif _is_physics(value):
            state[name] = {PHYSICS: {"time": value.time} | {key: value.copy() for key, value in _arrays(value)}}
        elif is_storable(value):
            state[name] = deepcopy(value)
    return state


def _load(layer: Any, state: State) -> None:
    for name, value in state.items():
        if isinstance(value, dict) and value.keys() == {RANDOM}:
            getattr(layer, name).bit_generator.state = value[RANDOM]
        elif isinstance(value, dict) and value.keys() == {PHYSICS}:
            data, saved = getattr(layer, name), value[PHYSICS]
            data.time = saved["time"]
            for key, array in _arrays(data):
                array[:] = saved[key]
        else:
            setattr(layer, name, deepcopy(value))


def _is_physics(value: Any) -> bool:
    return type(value).__module__.startswith("mujoco") and type(value).__name__ == "MjData"


def _arrays(data: Any) -> Iterator[tuple[str, Any]]:
    """The arrays of MuJoCo's data that outlive a step, as views of its memory.

    The others, about contacts and constraints, have a length that every step decides anew, 0 where none was made, and
    are partly left as the memory was.
    """
    unused = type(data)(data.model)
    for name in dir(data):
        if not name.startswith("_"):
            always = getattr(unused, name, None)
            if isinstance(always, np.ndarray) and always.size and always.flags.writeable:
                yield name, getattr(data, name)
