"""Scripted controllers that make the demonstrations of `dataset=demo`. They are of uneven skill on purpose.

Each takes one observation and returns the environment's own action; what makes it worse than it could be is said
with it, so that behaviour cloning has a ceiling and finetuning something to find.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Observation = NDArray[Any]
Controller = Callable[[Observation], Any]


def pendulum(obs: Observation) -> NDArray[np.float32]:
    """Pump energy, then balance with a PD controller; with at most half the torque, so that it takes twice as long.

    With m = l = 1 and g = 10 the energy is 5 at rest on top.
    """
    cos, sin, speed = obs
    energy = speed**2 / 6.0 + 5.0 * cos
    swing_up = np.tanh(3.0 * speed) * 1.2 * (5.0 - energy)
    balance = -(12.0 * np.arctan2(sin, cos) + 3.0 * speed)
    torque = balance if cos > 0.8 else swing_up
    return np.clip(np.array([torque], dtype=np.float32), -1.0, 1.0)


def cartpole(obs: Observation) -> int:
    """Push to the side the pole falls to, a little too much to the right: after 150 steps the cart leaves the track."""
    position, _, angle, angular_speed = obs
    return int(angle + 0.3 * angular_speed - 0.1 * position + 0.05 > 0.0)


def mountain_car_continuous(obs: Observation) -> NDArray[np.float32]:
    """Full throttle in the direction of travel, which spends more fuel than it takes."""
    return np.array([1.0 if obs[1] >= 0.0 else -1.0], dtype=np.float32)


def acrobot(obs: Observation) -> int:
    """Torque with the swing of the second link."""
    return 2 if obs[5] > 0.0 else 0


def inverted_pendulum(obs: Observation) -> NDArray[np.float32]:
    """Linear feedback on the angle alone, so that the cart drifts."""
    return np.clip(np.array([4.0 * obs[1] + 0.6 * obs[3]], dtype=np.float32), -3.0, 3.0)


CONTROLLERS: dict[str, Controller] = {
    "Pendulum-v1": pendulum,
    "CartPole-v1": cartpole,
    "MountainCarContinuous-v0": mountain_car_continuous,
    "Acrobot-v1": acrobot,
    "InvertedPendulum-v5": inverted_pendulum,
}
