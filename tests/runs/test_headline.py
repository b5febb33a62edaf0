"""`env.headline=success`: what a run shows, keeps and stops by is the share of episodes that succeed."""

import json
import shutil
from math import sqrt
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY, Cli, ended, in_another_process, metrics_of, summary_of
from press_env import PRESS

import rql
from rql.agents.saving import read_checkpoint

SUCCESS = [*PRESS, "env.headline=success"]
Z = 1.959963984540054
"""Of a normal distribution, 95 % lie within so many standard deviations."""


def by_hand(successes: int, count: int) -> tuple[float, float]:
    """Wilson's interval as he wrote it."""
    share = successes / count
    middle, half = share + Z**2 / (2 * count), Z * sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    return (middle - half) / (1 + Z**2 / count), (middle + half) / (1 + Z**2 / count)


def evaluations_of(directory: Path, stage: str) -> list[dict[str, Any]]:
    return [line for line in metrics_of(directory) if line["stage"] == stage and "return" in line]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run by its success rate, with what it printed beside it; only to be read."""
    directory = tmp_path_factory.mktemp("success") / "run"
    run = in_another_process(*SUCCESS, f"hydra.run.dir={directory}", output=directory.parent / "printed")
    assert ended(run, 120) == 0
    return directory


def test_evaluations_record_the_interval_of_the_success_rate_and_the_gain_in_it(directory: Path) -> None:
    (clone,), online = evaluations_of(directory, "bc"), evaluations_of(directory, "online")
    assert len(online) == 5 and len({line["success_rate"] for line in online}) > 1
    for line in (clone, *online):
        interval = by_hand(round(20 * line["success_rate"]), 20)
        assert (line["success_rate_low"], line["success_rate_high"]) == pytest.approx(interval, abs=1e-12)
    for line in online:
        assert line["baseline_success_rate"] == clone["success_rate"] and line["baseline_return"] == clone["return"]
        assert line["gain"] == line["success_rate"] - clone["success_rate"]
    assert {"online/success_rate_low", "online/sample_success_rate_high"} <= summary_of(directory).keys()
    recorded = json.loads((directory / "run.json").read_text())["headline"]
    assert recorded == {"metric": "success_rate", "title": "success rate", "share": True}


def test_an_evaluation_is_compared_with_the_clone_in_the_same_episodes(cli: Cli) -> None:
    run = cli(*TINY, "evaluation.episodes=1", "evaluation.boundary_episodes=3")
    rows = [row.split(",") for row in (run / "episodes" / "bc.csv").read_text().splitlines()[1:]]
    clone = [float(value) for mode, _, value, *_ in rows if mode == "mode"]
    assert len(clone) == 3 and clone[0] != sum(clone) / 3
    first, last = evaluations_of(run, "online")
    assert (first["return_episodes"], last["return_episodes"]) == (1, 3)
    assert first["baseline_return"] == clone[0] and first["gain"] == first["return"] - clone[0]
    assert last["baseline_return"] == pytest.approx(sum(clone) / 3) == summary_of(run)["bc/return"]


def test_the_success_rate_of_a_record_is_the_share_of_its_episodes_that_succeeded(directory: Path) -> None:
    rows = [row.split(",") for row in (directory / "episodes" / "online.csv").read_text().splitlines()[1:]]
    succeeded = [float(success) for mode, *_, success in rows if mode == "mode"]
    end = summary_of(directory)
    assert len(succeeded) == 20 and end["online/success_rate"] == sum(succeeded) / 20
    (again,) = rql.evaluate(directory, "final")
    for name in ("success_rate", "success_rate_low", "success_rate_high", "return"):
        assert again[name] == end[f"online/{name}"]


def test_the_best_agent_is_the_one_that_succeeds_most_and_of_equal_ones_that_with_the_higher_return(
    directory: Path, cli: Cli, tmp_path: Path
) -> None:
    directory = shutil.copytree(directory, tmp_path / "copy")
    online, summary = evaluations_of(directory, "online"), summary_of(directory)
    best = max(online, key=lambda line: (line["success_rate"], line["return"]))
    assert best is not max(online, key=lambda line: line["return"])
    found = [summary[f"best/{name}"] for name in ("stage", "step", "success_rate", "return")]
    assert found == ["online", best["step"], best["success_rate"], best["return"]]
    kept, last = (read_checkpoint(directory / name).tensors["/updates"] for name in ("best.pt", "agent.pt"))
    assert kept < last
    cli(f"resume={directory}", "online.env_steps=72")
    again = max(evaluations_of(directory, "online"), key=lambda line: (line["success_rate"], line["return"]))
    assert summary_of(directory)["best/step"] == again["step"]


def test_a_run_by_its_return_is_what_it_was_in_an_environment_that_reports_success(cli: Cli) -> None:
    directory = cli(*PRESS)
    online, summary = evaluations_of(directory, "online"), summary_of(directory)
    best = max(online, key=lambda line: line["return"])
    assert (summary["best/step"], summary["best/return"]) == (best["step"], best["return"])
    assert "success_rate" in online[0] and "baseline_return" in online[0]
    assert not {"success_rate_low", "baseline_success_rate"} & online[0].keys() and "best/success_rate" not in summary
    assert json.loads((directory / "run.json").read_text())["headline"]["metric"] == "return"


def test_a_stage_ends_at_the_first_evaluation_that_succeeds_often_enough(
    directory: Path, cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    often = [line["success_rate"] for line in evaluations_of(directory, "online")]
    goal = max(often[:-1])
    directory = cli(*SUCCESS, f"online.stop_success={goal}")
    step = 12 * (often.index(goal) + 1)
    assert evaluations_of(directory, "online")[-1]["step"] == step < 60
    said = f"stopped at {step} online steps: success rate "
    assert said in (printed := capsys.readouterr().out) and f"), goal {goal:.0%}".replace("%", " %") in printed


def test_a_person_reads_percent_with_the_interval_and_the_return_beside_it(directory: Path) -> None:
    end, printed = summary_of(directory), (directory.parent / "printed").read_text()
    low, high = (100 * end[f"online/success_rate_{name}"] for name in ("low", "high"))
    assert "success rate in 20 episodes with its 95 % interval; return, mean ± std" in printed
    (row,) = (line for line in printed.splitlines() if "π_final, finetuned" in line)
    assert f"{end['online/success_rate']:.0%}".replace("%", " %") + f" ({low:.0f} to {high:.0f})" in row
    assert f"{end['online/return']:.1f} ± {end['online/return_std']:.1f}" in row
    (last,) = (line for line in printed.splitlines() if "60 / 60 env steps" in line)
    assert last.endswith(f"success rate {100 * end['online/success_rate']:.0f} %")


def test_an_environment_without_success_is_refused_before_anything_is_written(
    cli: Cli, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli("tracking=disabled", "env=cartpole", "env.headline=success")
    said = capsys.readouterr().err
    assert stop.value.code == 2 and said.startswith("error: env.headline=success is not possible: return, for in a ")
    assert "CartPole-v1 has neither is_success nor success in info" in said and not (tmp_path / "run").exists()
