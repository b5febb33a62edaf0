"""What is plain in an object's attributes, out and in: numbers, arrays, random generators, and MuJoCo's memory.

An attribute may be a view of MuJoCo's memory, such as the goal of a task that is where a body is at the time. It stays
one, and nothing else does: two attributes that are the same array become two arrays.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rql.utils.tree import is_storable

RANDOM, PHYSICS, VIEW, SET = "random generator", "physics", "view", "set"
LOOKS = ("bvh", "flex", "hfield", "mesh", "name", "oct", "skin", "tex")
"""How the names of MuJoCo's arrays begin that hold megabytes of shapes and pictures, which nothing changes."""

State = dict[str, Any]
Memory = dict[str, dict[str, NDArray[Any]]]
"""The arrays of each attribute that is MuJoCo's data or model."""


def saved_attributes(of: Any) -> State:
    """What `load_attributes` takes, of numbers, texts, arrays and containers of them."""
    memory = {name: dict(_arrays(value)) for name, value in vars(of).items() if _is(value, "MjData", "MjModel")}
    saved = ((name, _saved(name, value, memory)) for name, value in vars(of).items())
    return {name: value for name, value in saved if value is not NotImplemented}


def load_attributes(of: Any, state: State) -> None:
    """Set the attributes of an object that was made in the same way."""
    for name, value in state.items():
        kind = next(iter(value)) if isinstance(value, dict) and len(value) == 1 else None
        if kind == RANDOM:
            getattr(of, name).bit_generator.state = value[RANDOM]
        elif kind == PHYSICS:
            _load_physics(getattr(of, name), value[PHYSICS])
        elif kind == VIEW:
            owner, key, start, shape = value[VIEW]
            array = getattr(getattr(of, owner), key)
            setattr(of, name, array.reshape(-1)[start : start + np.prod(shape)].reshape(shape))
        else:
            setattr(of, name, set(value[SET]) if kind == SET else deepcopy(value))


def _saved(name: str, value: Any, memory: Memory) -> Any:
    if isinstance(value, np.random.Generator):
        return {RANDOM: value.bit_generator.state}
    if name in memory:
        arrays = {key: array.copy() for key, array in memory[name].items()}
        return {PHYSICS: {"time": value.time, **arrays} if _is(value, "MjData") else arrays}
    if isinstance(value, np.ndarray) and (place := _place(value, memory)):
        return {VIEW: place}
    if isinstance(value, set) and is_storable(list(value)):
        return {SET: sorted(value)}
    return deepcopy(value) if is_storable(value) else NotImplemented


def _load_physics(physics: Any, saved: Mapping[str, Any]) -> None:
    if "time" in saved:
        physics.time = saved["time"]
    for key, array in _arrays(physics):
        array[:] = saved[key]


def _place(value: NDArray[Any], memory: Memory) -> tuple[str, str, int, tuple[int, ...]] | None:
    """Which attribute's array a view is of, from which number on, and its shape; None where it is no view of them."""
    if value.flags.owndata:
        return None
    for owner, arrays in memory.items():
        for key, array in arrays.items():
            if np.may_share_memory(array, value):
                return owner, key, (value.ctypes.data - array.ctypes.data) // array.itemsize, value.shape
    return None


def _is(value: Any, *names: str) -> bool:
    return type(value).__module__.startswith("mujoco") and type(value).__name__ in names


def _arrays(physics: Any) -> Iterator[tuple[str, NDArray[Any]]]:
    """The arrays of MuJoCo's data or model that outlive a step, as views of its memory.

    The other ones of its data, about contacts and constraints, have a length that every step decides anew, 0 where none
    was made, and are partly left as the memory was.
    """
    is_model = _is(physics, "MjModel")
    unused, skipped = (physics, ("_", *LOOKS)) if is_model else (type(physics)(physics.model), ("_",))
    for name in dir(physics):
        if not name.startswith(skipped):
            always = getattr(unused, name, None)
            if isinstance(always, np.ndarray) and always.size and always.flags.writeable and not always.flags.owndata:
                yield name, getattr(physics, name)
