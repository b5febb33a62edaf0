"""Meta-World's tasks under one gymnasium id, `rql/MetaWorld-v3`: each reset draws a start and a goal of its own.

Meta-World's own ids draw 50 of them at every construction and take no notice of the seed of a reset.
"""

from typing import Any

import gymnasium
import numpy as np
from metaworld.env_dict import ALL_V3_ENVIRONMENTS

from rql.envs.wrapper import Wrapper
from rql.utils.errors import ConfigError

ID = "rql/MetaWorld-v3"
HORIZON = 200
"""Steps of an episode; `env.kwargs.max_episode_steps` changes it, up to Meta-World's own limit of 500."""


class MetaWorld(Wrapper):
    """A task that draws from the seed of its reset, and from where its generator is without one."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        task: Any = self.env
        if seed is not None:
            task.seed(seed)
        obs, info = task.reset()
        return obs, info

    def render(self) -> Any:
        """The camera's picture (height, width, 3); the corners' cameras hang upside down."""
        task: Any = self.env
        frame, hanging = task.render(), task.camera_name.startswith("corner")
        return np.ascontiguousarray(frame[::-1, ::-1]) if hanging and frame is not None else frame


def make(env_name: str, camera_name: str = "corner2", **rendering: Any) -> MetaWorld:
    """The task of a name such as `peg-insert-side-v3`, with its goal in the observation.

    Args:
        env_name: one of Meta-World's tasks.
        camera_name: what `render` looks through: corner, corner2, corner3, corner4, topview, behindGripper, gripperPOV.
        rendering: `render_mode`, and `width` and `height` in pixels.

    Raises:
        ConfigError: if there is no such task.
    """
    if env_name not in ALL_V3_ENVIRONMENTS:
        raise ConfigError("env.kwargs.env_name", env_name, f"one of {', '.join(sorted(ALL_V3_ENVIRONMENTS))}")
    task: Any = ALL_V3_ENVIRONMENTS[env_name](camera_name=camera_name, **rendering)
    task._set_task_called, task._freeze_rand_vec, task.seeded_rand_vec = True, False, True
    task._partially_observable = False
    del task.sawyer_observation_space  # is kept from when the goal was not to be seen
    task.observation_space = task.sawyer_observation_space
    return MetaWorld(task)


gymnasium.register(ID, entry_point="rql.envs.metaworld:make", max_episode_steps=HORIZON)
