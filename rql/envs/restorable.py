"""Training environments whose state can be saved, so that a run goes on in the middle of an episode.

That all of it is saved (`rql/envs/attributes.py`) is known for the environments of gymnasium and of some packages only.
"""

from collections.abc import Iterator
from typing import Any

import gymnasium

from rql.envs.attributes import State, load_attributes, saved_attributes

KNOWN = (
    *(f"gymnasium.envs.{name}." for name in ("classic_control", "mujoco", "toy_text")),
    *(f"gymnasium_robotics.{name}." for name in ("core", "envs.robot_env")),
    *(f"gymnasium_robotics.envs.{name}." for name in ("fetch", "maze", "adroit_hand", "franka_kitchen")),
    *("metaworld.sawyer_xyz_env.", "metaworld.envs."),
    *(f"ogbench.{name}." for name in ("manipspace", "locomaze.maze", "locomaze.ant", "locomaze.point")),
)
"""Environments that are saved exactly: all that changes in them is in plain attributes and in MuJoCo's memory.

OGBench's humanoid is none, for a step of it begins with the contacts that the one before found.
"""
KNOWN_WRAPPERS = ("gymnasium.wrappers.", "rql.")


class Restorable(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Number `index` of parallel environments, with its state in and out."""

    def __init__(self, env: gymnasium.Env[Any, Any], index: int) -> None:
        super().__init__(env)
        self._index = index

    def saved_state(self) -> list[State] | None:
        """All that decides how the environment goes on; None if that is not known."""
        layers = list(_layers(self.env))
        return [saved_attributes(layer) for layer in layers] if all(map(_is_known, layers)) else None

    def load_states(self, states: list[list[State]]) -> None:
        """Go on from this environment's entry of what `saved_state` gave for each of them."""
        for layer, state in zip(_layers(self.env), states[self._index], strict=True):
            load_attributes(layer, state)


def _layers(env: gymnasium.Env[Any, Any]) -> Iterator[gymnasium.Env[Any, Any]]:
    """An environment and all that it holds: a wrapper what it wraps, and a maze the robot in it."""
    yield env
    for value in vars(env).values():
        if isinstance(value, gymnasium.Env):
            yield from _layers(value)


def _is_known(layer: gymnasium.Env[Any, Any]) -> bool:
    if isinstance(layer, gymnasium.Wrapper):
        return f"{type(layer).__module__}.".startswith(KNOWN_WRAPPERS)
    classes = (kind for kind in type(layer).__mro__ if issubclass(kind, gymnasium.Env) and kind is not gymnasium.Env)
    return all(f"{kind.__module__}.".startswith(KNOWN) for kind in classes)
