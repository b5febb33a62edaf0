"""A toy with two equally good ways, `rql/TwoWays-v0`: over a chasm, on its left bridge or on its right one.

A first step as demonstrated has to land on one of them. Whoever clones both as one way steps into the middle.
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

ID = "rql/TwoWays-v0"
HORIZON = 10
STEP, EDGE, GOAL = 0.8, 0.8, 0.9
"""The longest step in each direction; the chasm is where |x| is below the edge; where the other side begins."""
BRIDGE, WIDTH = 0.4, 0.15
"""|y| along the middle of the two bridges, and half their width."""
SIZE = 160
"""Pixels of a picture."""


class TwoWays(gymnasium.Env[Any, Any]):
    """Observes its place (x, y) in [−1, 1]², begins near (−1, 0) and has to come to x ≥ 0.9."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 (gymnasium's)
    observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def __init__(self, render_mode: str | None = None) -> None:
        """`render_mode` is `rgb_array` where it is to be drawn."""
        self.render_mode = render_mode
        self._path: list[NDArray[np.float32]] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        super().reset(seed=seed)
        self._path = [np.array([-1.0, self.np_random.normal(0.0, 0.02)], np.float32)]
        return self._path[-1], {"is_success": False}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Walk; the chasm and the other side end the episode."""
        place = np.clip(self._path[-1] + STEP * np.clip(action, -1.0, 1.0), -1.0, 1.0).astype(np.float32)
        self._path.append(place)
        fallen, arrived = falls(place), bool(place[0] >= GOAL)
        return place, float(arrived), fallen or arrived, False, {"is_success": arrived}

    def render(self) -> NDArray[np.uint8]:
        """The chasm with its bridges, the other side and the way so far: (SIZE, SIZE, 3)."""
        from PIL import Image, ImageDraw  # composing a configuration need not wait for it

        image = Image.new("RGB", (SIZE, SIZE), "#ffffff")
        draw, half = ImageDraw.Draw(image), SIZE / 2
        draw.rectangle((half * (1.0 + GOAL), 0, SIZE, SIZE), "#c8e6c9")
        draw.rectangle((half * (1.0 - EDGE), 0, half * (1.0 + EDGE), SIZE), "#222222")
        for middle in (1.0 - BRIDGE, 1.0 + BRIDGE):
            box = (half * (1.0 - EDGE), half * (middle - WIDTH), half * (1.0 + EDGE), half * (middle + WIDTH))
            draw.rectangle(box, "#ffffff")
        way = [(half * (1.0 + float(x)), half * (1.0 - float(y))) for x, y in self._path]
        draw.line(way, "#d55e00", 3) if len(way) > 1 else None
        x, y = way[-1]
        draw.ellipse((x - 4, y - 4, x + 4, y + 4), "#0072b2")
        return np.array(image, dtype=np.uint8)


def falls(place: NDArray[np.float32]) -> bool:
    """Whether whoever stands at a place (2,) is in the chasm."""
    x, y = np.abs(place)
    return bool(x < EDGE and abs(y - BRIDGE) > WIDTH)


class TwoWaysExpert:
    """Takes either bridge, drawn for each episode."""

    def begin(self, obs: Any, info: dict[str, Any], rng: np.random.Generator) -> None:
        """Draw a side."""
        self._side = 2.0 * float(rng.integers(2)) - 1.0

    def act(self, obs: Any, info: dict[str, Any]) -> NDArray[Any]:
        """A step forward, along the middle of the bridge."""
        return np.array([0.5, BRIDGE * self._side - obs[1]]) / STEP


gymnasium.register(ID, entry_point="rql.envs.two_ways:TwoWays", max_episode_steps=HORIZON)
