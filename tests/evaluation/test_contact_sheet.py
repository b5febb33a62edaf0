"""Pictures of episodes: the right frames of the right episodes, and where a run keeps them."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from conftest import SHORT_EPISODES, Cli
from PIL import Image

from rql.commands.report import main as report
from rql.evaluation.contact_sheet import FRAMES, STARTS, WIDTH, Strip, sheet, side_by_side, strip


class Painted(gymnasium.Env[Any, Any]):
    """Shows its step as a shade of grey; succeeds in the middle; lasts as many steps as its seed says."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self.steps, self.last = 0, seed or 0
        return np.zeros(1), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        return np.zeros(1), 2.0, self.steps == self.last, False, {"success": self.steps == self.last // 2}

    def render(self) -> Any:
        return np.full((20, 40, 3), self.steps, np.uint8)


def test_frames_are_the_first_the_last_and_some_evenly_in_between() -> None:
    shades = {seed: strip(lambda: lambda obs: 0, seed, Painted(), 100) for seed in (8, 200)}
    assert [int(frame[0, 0, 0]) for frame in shades[8].frames] == [0, 2, 4, 6, 8]
    assert (shades[8].value, shades[8].success) == (16.0, True)
    assert [int(frame[0, 0, 0]) for frame in shades[200].frames] == [0, 25, 50, 75, 100]  # cut at the limit of steps
    assert shades[200].success is True and shades[200].value == 200.0


def test_a_sheet_has_a_row_for_each_episode_and_sheets_stand_side_by_side(tmp_path: Path) -> None:
    frames = [np.full((20, 40, 3), 10 * number, np.uint8) for number in range(FRAMES)]
    for name, rows in (("one", 2), ("two", 3)):
        strips = [Strip(frames, 1.0, success) for success in (True, False, None)[:rows]]
        (tmp_path / f"{name}.png").write_bytes(sheet(name, strips))
    (tmp_path / "both.png").write_bytes(side_by_side([tmp_path / "one.png", tmp_path / "two.png"]))
    one, two, both = (Image.open(tmp_path / f"{name}.png") for name in ("one", "two", "both"))
    assert both.width == one.width + two.width and both.height == two.height > one.height > WIDTH
    greens = (np.asarray(one) == (0, 158, 115)).all(axis=2).sum(), (np.asarray(one) == (213, 94, 0)).all(axis=2).sum()
    assert greens[0] > 100 and greens[1] > 100


def test_a_filmed_run_and_its_report_have_the_clone_beside_the_finetuned_policy(cli: Cli, capsys: Any) -> None:
    directory = cli(*SHORT_EPISODES, "tracking.log_video=true", "offline.updates=2", name="filmed")
    assert sorted(path.name for path in (directory / "contact_sheets").iterdir()) == [
        "bc.png", "offline.png", "online.png",
    ]  # fmt: skip
    whole, clone = Image.open(directory / "contact_sheet.png"), Image.open(directory / "contact_sheets" / "bc.png")
    assert whole.crop((0, 0, *clone.size)).tobytes() == clone.convert("RGB").tobytes()
    assert whole.width == 2 * clone.width and clone.height > STARTS * WIDTH
    assert report([str(directory), "--out", str(directory / "report")]) == 0
    assert (directory / "report" / "figures" / "episodes-1.png").exists()
    assert "figures/episodes-1.png" in (directory / "report" / "report.md").read_text()
