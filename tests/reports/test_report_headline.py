"""Runs whose headline is the success rate are reported by it, in percent, with the return beside it."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_runs import RQL, rows_of, write_run
from matplotlib.figure import Figure
from rich.console import Console

from rql.config.headline import RETURN, SUCCESS
from rql.reports.comparison import compare
from rql.reports.curve import draw_curve
from rql.reports.report import write_report
from rql.reports.runs import RunStatus, read_run
from rql.reports.table import policies_table, results_table

CLONE = 4
"""Successes of the clone, of 20 episodes."""
ENDS = {1e-3: [18, 19, 17, 18], 1e-2: [9, 11, 10, 10]}
"""Successes at the end of each seed, by α. Returns say the contrary: that of the second is 40 higher."""


def write_arms(folder: Path, env: str = "Press-v0", successes: bool = True) -> None:
    for alpha, ends in ENDS.items():
        for seed, end in enumerate(ends):
            more = {"successes": [CLONE, 5, 8, 3, end]} if successes else {}
            gain = 40.0 if alpha == 1e-2 else 0.0
            write_run(folder / f"{env}-{alpha:g}-{seed}", seed, {"cql": {"alpha": alpha}}, env=env, gain=gain, **more)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    write_arms(folder)
    return write_report([folder], folder / "report").parent


def test_arms_are_ranked_by_success_and_show_the_return_beside_it(made: Path) -> None:
    first, second = rows_of(made / "final.csv")
    assert (first["arm"], second["arm"]) == ("cql.alpha=0.001", "cql.alpha=0.01")
    assert [float(row["IQM success rate in %"]) for row in (first, second)] == [90.0, 50.0]
    assert 85.0 <= float(first["IQM success rate in %, low"]) < 90.0 < float(first["IQM success rate in %, high"]) <= 95
    assert (float(first["π_BC"]), float(first["gain over π_BC"]), float(first["worst dip"])) == (20.0, 70.0, -5.0)
    assert float(first["IQM return"]) == 165.0 and float(second["IQM return"]) == 205.0
    page = (made / "report.md").read_text()
    assert "**Best arm:** cql.alpha=0.001. It ends at 90.00" in page and "(IQM success rate in %)" in page
    assert "Means (success rate in %)" in page and "In success rates in %; the command" in page


def test_every_run_has_the_interval_of_its_last_evaluation(made: Path) -> None:
    runs = rows_of(made / "runs.csv")
    assert len(runs) == 8
    row = next(row for row in runs if row["arm"] == "cql.alpha=0.01" and row["seed"] == "2")
    low, high = (100.0 * end for end in SUCCESS.band(SUCCESS.recorded({"success_rate": 0.5, "return_episodes": 20})))
    found = [float(row[name]) for name in ("final", "final, low", "final, high", "gain", "return")]
    assert found == pytest.approx([50.0, low, high, 30.0, 210.0])


def test_curves_are_of_the_success_rate(made: Path) -> None:
    rows = [row for row in rows_of(made / "curves.csv") if row["stage"] == "online" and row["arm"] == "cql.alpha=0.001"]
    assert [(float(row["step"]), float(row["iqm"])) for row in rows] == [(0.0, 40.0), (50.0, 15.0), (100.0, 90.0)]


def test_tasks_that_all_report_success_are_compared_by_it_and_need_no_scores(tmp_path: Path) -> None:
    write_arms(tmp_path, "Press-v0")
    write_arms(tmp_path, "Lift-v0")
    found = compare([tmp_path], None)
    assert (found.unit, found.scale.common) == ("success rate in %", SUCCESS)
    made = write_report([tmp_path], tmp_path / "report").parent
    row = rows_of(made / "final.csv")[0]
    assert float(row["IQM success rate in %"]) == 90.0 and "IQM return" not in row
    assert [float(row["IQM return"]) for row in rows_of(made / "tasks.csv")] == [165.0, 205.0] * 2


def test_tasks_that_share_an_id_are_told_apart_by_what_names_them(tmp_path: Path) -> None:
    for name in ("push-v3", "reach-v3"):
        config = {"env": {"id": "rql/MetaWorld-v3", "kwargs": {"env_name": name}}}
        write_run(tmp_path / name, 0, config, successes=[CLONE, 5, 8, 3, 18])
    found = compare([tmp_path], None)
    assert found.tasks == ("push-v3", "reach-v3")
    assert [arm.label for arm in found.arms] == ["all runs"]
    made = write_report([tmp_path], tmp_path / "report").parent
    assert {row["task"] for row in rows_of(made / "runs.csv")} == {"push-v3", "reach-v3"}


def test_tasks_by_success_and_by_return_meet_in_scores(tmp_path: Path) -> None:
    write_arms(tmp_path, "Press-v0")
    write_arms(tmp_path, "Pendulum-v1", successes=False)
    found = compare([tmp_path], None)
    assert found.unit == "success rate or score (0: π_BC, 1: the best run)"
    values = {
        (run.task, run.seed): outcome.final for run in found.finished for outcome in [found.outcomes[run.directory]]
    }
    assert values["Press-v0", 1] in (0.95, 0.55)
    made = write_report([tmp_path], tmp_path / "report").parent
    by_task = {(row["task"], row["arm"]): row for row in rows_of(made / "tasks.csv")}
    press, pendulum = (by_task[task, "cql.alpha=0.001"] for task in ("Press-v0", "Pendulum-v1"))
    assert (press["headline"], float(press["IQM headline"])) == ("success rate in %", 90.0)
    assert (pendulum["headline"], float(pendulum["IQM headline"])) == ("return", 165.0)


def test_runs_of_one_task_with_different_headlines_are_compared_by_the_return_which_all_have(tmp_path: Path) -> None:
    write_run(tmp_path / "a", 0, successes=[CLONE, 5, 8, 3, 18])
    write_run(tmp_path / "b", 1)
    found = compare([tmp_path], None)
    assert found.scale.common == RETURN and found.unit == "return" and not found.shares
    assert sorted(outcome.final for outcome in found.outcomes.values()) == [150.0, 160.0]


def test_a_run_that_lacks_what_its_headline_is_is_damaged(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", 0)
    recorded = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(recorded | {"headline": SUCCESS.to_plain()}))
    found = read_run(folder)
    assert (found.status, found.reason) == (RunStatus.damaged, "metrics.jsonl: line 1 cannot be read")
    (folder / "run.json").write_text(json.dumps(recorded | {"headline": {"metric": "success_rate"}}))
    assert read_run(folder).status is RunStatus.damaged


def test_the_last_evaluation_of_a_run_that_is_not_finished_is_both(tmp_path: Path) -> None:
    write_run(tmp_path / "done", 0, successes=[CLONE, 5, 8, 3, 18])
    killed = write_run(tmp_path / "killed", 1, successes=[CLONE, 5, 8, 3, 18])
    (killed / "summary.json").unlink()
    made = write_report([tmp_path], tmp_path / "report").parent
    (row,) = rows_of(made / "unfinished.csv")
    assert row["last evaluation"] == "online 100: success rate in % 90.00, return 160.0"


def test_the_curve_of_a_run_has_the_success_rate_above_the_return(tmp_path: Path, monkeypatch: Any) -> None:
    drawn: list[Figure] = []
    save = Figure.savefig

    def save_and_keep(figure: Figure, *arguments: Any, **options: Any) -> None:
        drawn.append(figure)
        save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", save_and_keep)
    draw_curve(write_run(tmp_path / "run", 0, successes=[CLONE, 5, 8, 3, 18]), "a run")
    first, second, third, fourth = drawn[0].axes
    assert (first.get_ylabel(), third.get_ylabel()) == ("success rate in %", "return of an episode")
    labels = ["", "", "offline updates", "online environment steps"]
    assert [axes.get_xlabel() for axes in (first, second, third, fourth)] == labels
    low, high = first.get_ylim()
    assert low < 0.0 and high > 100.0 and second.get_ylim() == (low, high)
    clone, rates, returns = (np.asarray(line.get_ydata()) for line in (*second.lines[:2], fourth.lines[1]))
    assert clone.tolist() == [20.0, 20.0]
    assert rates.tolist() == pytest.approx([40.0, 15.0, 90.0]) and returns.tolist() == [110.0, 60.0, 150.0]
    lowest = SUCCESS.recorded({"success_rate": 0.15, "return_episodes": 20})["success_rate_low"]
    assert second.collections[0].get_datalim(second.transData).ymin == pytest.approx(100.0 * lowest)


def figures_of(success: float, mean: float) -> dict[str, Any]:
    found = {"success_rate": success, "return_episodes": 50.0, "return": mean, "return_std": 1.5, "episode_length": 9.0}
    return found | SUCCESS.recorded(found) | {"return_min": mean - 2.0, "return_max": mean + 2.0}


def test_the_tables_of_a_run_and_of_its_policies_fit_into_eighty_columns() -> None:
    end = {f"{stage.name}/{key}": value for stage in RQL.stages for key, value in figures_of(1.0, 1234.5).items()}
    end |= {f"{stage.name}/sample_{key}": value for stage in RQL.stages for key, value in figures_of(0.72, 0.0).items()}
    end |= {f"{stage.name}/normalized_score": 100.0 for stage in RQL.stages}
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(results_table(end, RQL, "mode", SUCCESS))
    rows = [{"policy": "final", "mode": "sample"} | figures_of(0.72, 1.0) | {"normalized_score": 100.0}]
    console.print(policies_table(rows, RQL.policies, "Press-v0, seed 0", SUCCESS))
    printed = console.export_text()
    assert "…" not in printed and "success rate in 50 episodes with its 95 % interval" in printed
    assert printed.count("100 % (93 to 100)") == printed.count("1,234 ± 1.5") == len(RQL.stages)
    assert printed.count("72 % (58 to 83)") == len(RQL.stages) + 1
