"""Films of the ends of stages, in the run's folder and in W&B."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from conftest import SHORT_EPISODES, TINY, Cli, inspected, metrics_of, summary_of, without_times
from gymnasium.envs.classic_control import PendulumEnv

from rql.evaluation.evaluator import Evaluator


def test_films_and_the_final_policy_are_kept_and_change_nothing(cli: Cli) -> None:
    kept = ["tracking=offline", "tracking.log_video=true", "tracking.log_policy=true"]
    directory, without = cli(*SHORT_EPISODES, *kept, name="kept"), cli(*SHORT_EPISODES, name="without")
    assert without_times(metrics_of(directory)) == without_times(metrics_of(without))
    assert sorted(path.name for path in (directory / "videos").iterdir()) == ["bc.mp4", "offline.mp4", "online.mp4"]
    (log,) = directory.glob("wandb/offline-run-*/*.wandb")
    summary = inspected(log, "--summary")[0]["summary"]
    for stage in ("bc", "offline", "online"):
        film = log.parent / "files" / summary[f"{stage}/video"]["path"]
        assert film.read_bytes() == (directory / "videos" / f"{stage}.mp4").read_bytes()
    artifacts = [record["artifact"] for record in inspected(log) if record["type"] == "artifact"]
    (artifact,) = [one for one in artifacts if one["type"] == "model"]
    assert artifact["name"] == f"policy-{log.stem.removeprefix('run-')}"
    (content,) = artifact["manifest"]["contents"]
    assert Path(content["local_path"]).read_bytes() == (directory / "agent.pt").read_bytes()


def test_what_cannot_be_filmed_is_refused_before_any_training(cli: Cli, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setitem(PendulumEnv.metadata, "render_modes", ["human"])
    with pytest.raises(SystemExit) as exit:
        cli(*TINY, "tracking.log_video=true")
    assert exit.value.code == 2
    assert "Pendulum-v1 cannot be filmed" in capsys.readouterr().err


def test_a_film_that_fails_later_costs_no_run_and_without_ffmpeg_it_is_a_gif(
    cli: Cli, monkeypatch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "imageio_ffmpeg" else find(name))
    film = Evaluator.film

    def fails_once(self: Evaluator, state: Any, policy: Any, camera: Any, path: Path) -> None:
        if policy == "bc":
            raise RuntimeError("the driver is gone")
        film(self, state, policy, camera, path)

    monkeypatch.setattr(Evaluator, "film", fails_once)
    directory = cli(*SHORT_EPISODES, "tracking.log_video=true", "online.env_steps=0")
    assert "offline/return" in summary_of(directory)
    assert [path.name for path in (directory / "videos").iterdir()] == ["offline.gif"]
    assert "the end of stage bc could not be filmed: RuntimeError the driver is gone" in capsys.readouterr().out
