"""What OGBench's environments leave to chance, or leave out: seeds, lasting spaces and how they render."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import gymnasium
import numpy as np

from rql.envs.wrapper import Wrapper


def is_ogbench(env: gymnasium.Env[Any, Any]) -> bool:
    """Whether an environment is one of OGBench's."""
    return type(env.unwrapped).__module__.startswith("ogbench.")


class OGBench(Wrapper):
    """Gives an environment what it draws from, numpy's global generator and its space of actions, for its own.

    The mazes draw from the former where an episode begins, and all make random actions in a reset, to see what lies at
    the goal. The seed of a reset seeds both.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        _complete(env.unwrapped)
        self.action_space = deepcopy(env.action_space)  # whoever draws from this one draws nothing of what resets draw
        self._chance: Any = np.random.RandomState().get_state()
        self._actions = env.action_space.np_random

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        if seed is not None:
            self._chance = np.random.RandomState(seed % 2**32).get_state()
            self.env.action_space.seed(seed)
            self._actions = self.env.action_space.np_random
        with self._own_chance():
            return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """One step of the environment."""
        with self._own_chance():
            return self.env.step(action)

    @contextmanager
    def _own_chance(self) -> Iterator[None]:
        """A time in which numpy's global generator is the environment's."""
        everyone = np.random.get_state()
        np.random.set_state(self._chance)
        try:
            yield
        finally:
            self._chance = np.random.get_state()
            np.random.set_state(everyone)


def _complete(core: Any) -> None:
    """Let an arm, which makes its spaces anew whenever it is asked for them, keep them, and say that it renders."""
    kind = type(core)
    if isinstance(getattr(kind, "action_space", None), property):
        rendering = {"render_modes": ["rgb_array"], "render_fps": round(1.0 / core.control_timestep())}
        kept = {"action_space": core.action_space, "observation_space": core.observation_space, "metadata": rendering}
        core.__class__ = type(kind.__name__, (kind,), {"__module__": kind.__module__, **kept})
