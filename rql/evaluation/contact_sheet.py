"""Pictures of what policies do from the same starts: a row for each start, with frames from its first to its last."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from rql.envs.success import success_of
from rql.evaluation.video import Act, Camera, Frame

STARTS, FRAMES, WIDTH = 4, 5, 160
"""Rows of a sheet; frames of a row; pixels of a frame, whose height keeps its shape."""
GAP, LINE = 6, 22
"""Pixels between frames; of a line of text."""
INK, PAPER, SUCCEEDED, FAILED = "#222222", "#ffffff", "#009e73", "#d55e00"


class Strip(NamedTuple):
    """One episode."""

    frames: list[Frame]
    """(height, width, 3) each, evenly spaced, the first and the last among them."""
    value: float
    """Its return."""
    success: bool | None
    """None where the environment says nothing of it."""


def strip(act_anew: Callable[[], Act], seed: int, camera: Camera, step_limit: int) -> Strip:
    """An episode of at most `step_limit` steps, played twice, for how long it lasts is known when it is over.

    `act_anew` is the policy with the same random numbers each time.
    """
    steps, value, success = _play(act_anew(), seed, camera, step_limit, lambda step: None)
    wanted = set(np.linspace(0, steps, FRAMES).round().astype(int).tolist())
    frames: list[Frame] = []

    def keep(step: int) -> None:
        if step in wanted:
            frames.append(np.array(camera.render(), dtype=np.uint8))

    _play(act_anew(), seed, camera, step_limit, keep)
    return Strip(frames, value, success)


def _play(
    act: Act, seed: int, camera: Camera, step_limit: int, see: Callable[[int], None]
) -> tuple[int, float, bool | None]:
    """Steps, return and success of an episode; `see` is called at its start and after every step."""
    obs, _ = camera.reset(seed=seed)
    steps, value, said, ended = 0, 0.0, list[float](), False
    see(0)
    while not ended and steps < step_limit:
        obs, reward, terminated, truncated, info = camera.step(act(obs))
        steps, value, ended = steps + 1, value + float(reward), terminated or truncated
        success = success_of(info)
        said += [] if success is None else [success]
        see(steps)
    return steps, value, any(said) if said else None


def sheet(title: str, strips: Sequence[Strip]) -> bytes:
    """The rows of one policy below its title, as a PNG; a frame around a row says whether it succeeded."""
    from matplotlib import get_data_path  # slow to import

    height = round(WIDTH * strips[0].frames[0].shape[0] / strips[0].frames[0].shape[1])
    row = height + LINE + GAP
    image = Image.new("RGB", (FRAMES * (WIDTH + GAP) + GAP, LINE + 2 * GAP + len(strips) * row), PAPER)
    draw = ImageDraw.Draw(image)
    font = ImageFont.truetype(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", 14)  # it has a π
    draw.text((GAP, GAP), title, INK, font)
    for number, one in enumerate(strips):
        top = LINE + 2 * GAP + number * row
        color = INK if one.success is None else SUCCEEDED if one.success else FAILED
        ended = "" if one.success is None else ", success" if one.success else ", no success"
        for place, frame in enumerate(one.frames):
            left = GAP + place * (WIDTH + GAP)
            image.paste(Image.fromarray(frame).resize((WIDTH, height)), (left, top))
            draw.rectangle((left - 2, top - 2, left + WIDTH + 1, top + height + 1), outline=color, width=2)
        draw.text((GAP, top + height + 2), f"start {number + 1}: return {one.value:,.1f}{ended}", color, font)
    return _png(image)


def side_by_side(paths: Sequence[Path]) -> bytes:
    """Several sheets as one PNG.

    Raises:
        OSError: if one cannot be read.
    """
    images = [Image.open(path).convert("RGB") for path in paths]
    whole = Image.new("RGB", (sum(image.width for image in images), max(image.height for image in images)), PAPER)
    left = 0
    for image in images:
        whole.paste(image, (left, 0))
        left += image.width
    return _png(whole)


def _png(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, format="PNG", optimize=True)
    return content.getvalue()
