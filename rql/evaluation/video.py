"""An episode as a film."""

import importlib.util
import io
import math
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rql.config.data import EnvConfig
from rql.envs.make import make_env
from rql.utils.errors import RQLError
from rql.utils.extras import remedy
from rql.utils.files import write_atomically

Camera = gymnasium.Env[Any, Any]
Frame = NDArray[np.uint8]
Act = Callable[[Any], Any]
"""An observation of the environment → one of its actions."""

FORMATS = (".gif", ".mp4")
DEFAULT_RATE = 30
GIF_RATE = 25
"""Frames a second at most: browsers slow down what is faster than 50, and a GIF stores every frame whole."""


def check_format(path: Path) -> None:
    """Refuse what cannot be written, before anything is played.

    Raises:
        RQLError: if the suffix is not one of `FORMATS`, or an .mp4 needs a package that is not installed.
    """
    if path.suffix not in FORMATS:
        raise RQLError(f"{path} is no film: its name must end in {' or '.join(FORMATS)}")
    if path.suffix == ".mp4":
        _ffmpeg()


def best_format() -> str:
    """`.mp4` where it can be written, `.gif` elsewhere."""
    return ".mp4" if importlib.util.find_spec("imageio_ffmpeg") else ".gif"


def open_camera(config: EnvConfig) -> Camera:
    """The environment, such that `render` returns an image (height, width, 3).

    Raises:
        RQLError: if it cannot.
    """
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # pygame draws into memory, and looks for no display
    with make_env(config) as env:
        known = env.metadata.get("render_modes", [])
    if "rgb_array" not in known:
        raise RQLError(f"{config.id} cannot be filmed: it does not render to rgb_array")
    camera = make_env(replace(config, kwargs=config.kwargs | {"render_mode": "rgb_array"}))
    try:
        camera.reset(seed=0)
        frame: Any = camera.render()
        if np.ndim(frame) != 3:
            raise TypeError(f"it renders {type(frame).__name__}")
    except Exception as error:  # whatever a missing display, driver or package leads to
        camera.close()
        hint = "; MuJoCo draws without a display if MUJOCO_GL is egl or osmesa" if _is_mujoco(camera) else ""
        raise RQLError(f"{config.id} cannot be filmed here: {type(error).__name__} {error}{hint}") from error
    return camera


def record(policy: Act, seed: int, camera: Camera, path: Path, step_limit: int) -> None:
    """Play one episode of at most `step_limit` steps and write it to `path`, at the environment's own pace.

    Raises:
        OSError: if it cannot be written; then nothing is left behind.
    """
    rate = float(camera.metadata.get("render_fps") or DEFAULT_RATE)
    write = _gif if path.suffix == ".gif" else _mp4
    write_atomically(path, write(_frames(policy, seed, camera, step_limit), rate))


def _frames(policy: Act, seed: int, camera: Camera, step_limit: int) -> Iterator[Frame]:
    obs, _ = camera.reset(seed=seed)
    yield _image(camera)
    for _ in range(step_limit):
        obs, _, terminated, truncated, _ = camera.step(policy(obs))
        yield _image(camera)
        if terminated or truncated:
            return


def _image(camera: Camera) -> Frame:
    return np.array(camera.render(), dtype=np.uint8)


def _gif(frames: Iterator[Frame], rate: float) -> bytes:
    every = math.ceil(rate / GIF_RATE)
    images = (Image.fromarray(frame) for frame in islice(frames, 0, None, every))
    content = io.BytesIO()
    pause = round(1000.0 * every / rate)
    next(images).save(content, format="GIF", save_all=True, append_images=images, duration=pause, loop=0)
    return content.getvalue()


def _mp4(frames: Iterator[Frame], rate: float) -> bytes:
    first = next(frames)
    height, width = first.shape[:2]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "episode.mp4"
        # the codec halves the resolution of colours: sides must be even
        film = _ffmpeg().write_frames(str(path), (width, height), fps=rate, macro_block_size=2)
        film.send(None)
        film.send(first.tobytes())
        for frame in frames:
            film.send(frame.tobytes())
        film.close()
        return path.read_bytes()


def _ffmpeg() -> Any:
    try:
        return importlib.import_module("imageio_ffmpeg")
    except ImportError as error:
        what = "an .mp4 needs imageio-ffmpeg, which is not installed"
        raise RQLError(f"{what}: {remedy('video')}, or name a .gif") from error


def _is_mujoco(camera: Camera) -> bool:
    return type(getattr(camera.unwrapped, "model", None)).__module__.startswith("mujoco")
