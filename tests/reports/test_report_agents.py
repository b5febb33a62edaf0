"""Reports over several agents, each known by what its runs recorded alone."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from made_runs import RQL, rows_of, write_run
from matplotlib.figure import Figure
from rich.console import Console

from rql.config.agents.base import CLONING, AgentTable, StageData, StageInfo
from rql.reports.comparison import compare
from rql.reports.curve import draw_curve
from rql.reports.curves import all_curves
from rql.reports.report import make_pictures, write_report
from rql.reports.runs import RunStatus, read_run
from rql.reports.table import results_table
from rql.runs.folder import read_agent_table
from rql.tracking.display import Display

OFFLINE = StageInfo("offline", "offline RL", "actor", "offline", StageData.offline)
IQL = AgentTable((OFFLINE, StageInfo("online", "online RL", "actor", "online", StageData.online)), {"actor": "π"})
PRETRAINED = AgentTable(
    (
        StageInfo("pretrain", "skill discovery", "skills", "skills", StageData.offline),
        StageInfo("online", "skill transfer", "skills", "transferred", StageData.online),
    ),
    {"skills": "π_skill"},
)
"""An agent that this installation does not have."""
CLONE = AgentTable((CLONING,), {"bc": "π_BC"})


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of each of three agents."""
    folder = tmp_path_factory.mktemp("agents")
    for seed in range(2):
        end = 120.0 + 5.0 * seed
        write_run(folder / f"rql{seed}", seed, choices={"agent": "rql"})
        points = [("offline", 10, 90.0), ("online", 50, 80.0), ("online", 100, end)]
        write_run(folder / f"iql{seed}", seed, agent=IQL, points=points, choices={"agent": "iql"})
        points = [("pretrain", 20, 20.0), ("pretrain", 40, 30.0), ("online", 100, end - 20.0)]
        write_run(folder / f"skills{seed}", seed, agent=PRETRAINED, points=points, choices={"agent": "skills"})
    return folder


@pytest.fixture(scope="module")
def made(runs: Path) -> Path:
    return write_report([runs], runs / "report").parent


def test_every_agent_is_an_arm_and_what_it_lacks_is_empty(made: Path) -> None:
    final = {row["arm"]: row for row in rows_of(made / "final.csv")}
    means = {arm: float(row["IQM return"]) for arm, row in final.items()}
    assert means == {"agent=rql": 155.0, "agent=iql": 122.5, "agent=skills": 102.5}
    above = {arm: row["P(gain > 0)"] for arm, row in final.items()}
    assert above == {"agent=rql": "1.0", "agent=iql": "", "agent=skills": ""}
    along = {row["arm"]: row for row in rows_of(made / "stages.csv")}
    ends = {arm: [row[label] for label in ("π_BC", "skills", "offline", "online")] for arm, row in along.items()}
    assert ends["agent=rql"] == ["100.0", "", "110.5", "155.0"]
    assert ends["agent=iql"] == ["", "", "90.0", "122.5"]
    assert ends["agent=skills"] == ["", "30.0", "", "102.5"]
    jumps = {arm: float(row["jump (last stage − the one before)"]) for arm, row in along.items()}
    assert jumps == {"agent=rql": 44.5, "agent=iql": 32.5, "agent=skills": 72.5}
    assert along["agent=iql"]["worst online less π_BC"] == ""
    assert "worst pretrain less π_BC" not in along["agent=iql"]
    assert "–" in (made / "index.html").read_text()


def test_each_agent_has_curves_in_its_own_stages(runs: Path, made: Path) -> None:
    comparison = compare([runs], None)
    assert [stage.name for stage in comparison.stages] == ["bc", "offline", "pretrain", "online"]
    stages = {(label, stage) for label, _, stage in all_curves(comparison)}
    assert stages == {
        *(("agent=rql", "offline"), ("agent=rql", "online"), ("agent=iql", "offline"), ("agent=iql", "online")),
        *(("agent=skills", "pretrain"), ("agent=skills", "online")),
    }
    curves = next(one for one in make_pictures(comparison, all_curves(comparison)) if one.name == "curves")
    assert [axes.get_xlabel() for axes in curves.figure.axes] == [
        "offline updates",
        "pretrain updates",
        "online environment steps",
    ]
    starts = {
        row["arm"]: row["iqm"]
        for row in rows_of(made / "curves.csv")
        if (row["stage"], row["step"]) == ("online", "0.0")
    }
    assert starts == {"agent=rql": "110.5", "agent=iql": "90.0", "agent=skills": "30.0"}


def test_agents_without_a_baseline_are_compared_without_one(runs: Path, tmp_path: Path) -> None:
    folders = [path for path in runs.iterdir() if path.name.startswith(("iql", "skills"))]
    made = write_report(folders, tmp_path / "out").parent
    assert {*rows_of(made / "final.csv")[0]} == {"arm", "runs", "IQM return", "IQM return, low", "IQM return, high"}
    assert not any("less" in column for column in rows_of(made / "stages.csv")[0])
    assert "π_BC" not in (made / "report.md").read_text()
    assert not (made / "figures" / "gain.png").exists()


def test_one_agent_is_called_by_its_own_symbols(runs: Path, tmp_path: Path) -> None:
    made = write_report([runs / "skills0", runs / "skills1"], tmp_path / "out").parent
    page = (made / "report.md").read_text()
    assert "π\\_skill" in page and "jump (transferred − skills)" in page


def test_a_clone_alone_is_an_arm_and_no_baseline(runs: Path, tmp_path: Path) -> None:
    clone = write_run(tmp_path / "clone", 0, agent=CLONE, points=[("bc", 10, 95.0)], choices={"agent": "bc"})
    only_cloned = write_run(tmp_path / "rql", 0, points=[("bc", 10, 95.0)])
    assert [read_run(run).status for run in (clone, only_cloned)] == [RunStatus.finished] * 2
    alone = (write_report([clone], tmp_path / "alone").parent / "report.md").read_text()
    assert "**Result:** π\\_BC ends at 95.00 (IQM return)." in alone and "1 finished" in alone
    made = write_report([clone, runs / "rql0"], tmp_path / "out").parent
    final = {row["arm"]: row for row in rows_of(made / "final.csv")}
    assert float(final["agent=bc"]["IQM return"]) == 95.0
    assert final["agent=bc"]["P(gain > 0)"] == ""


def test_the_table_and_the_progress_of_a_run_speak_of_its_own_stages(capsys: pytest.CaptureFixture[str]) -> None:
    kinds = {"return": 8.0, "return_std": 1.0, "sample_return": 7.0, "sample_return_std": 2.0, "return_min": 6.0}
    end = {f"pretrain/{name}": value for name, value in (kinds | {"return_max": 9.0, "return_episodes": 10.0}).items()}
    display = Display()
    display.begin(PRETRAINED.stages[1], 200, 50)
    display.advance(100, 2.0, 12.5)
    display.console.print(results_table(end, PRETRAINED, "mode"))
    display.close()
    printed = capsys.readouterr().out
    assert "skill transfer  goes on from 50 / 200 env steps" in printed
    assert "100 / 200 env steps      50/s  return 12.5" in printed
    assert "return of 10 episodes" in printed and "π_skill, skills" in printed
    assert re.search("π_skill, transferred *skipped", printed)


@pytest.mark.parametrize(
    ("size", "shown"), [(9.99e4, "-99,900"), (1.0e7, "-1.00e7"), (1.26e12, "-1.3e12"), (1e30, "-1.0e30")]
)
def test_figures_of_any_size_fit_into_eighty_columns(size: float, shown: str) -> None:
    end = {f"{stage.name}/{name}": -size for stage in RQL.stages for name in ("return", "sample_return", "return_min")}
    end |= {f"{stage.name}/{name}": size for stage in RQL.stages for name in ("return_std", "sample_return_std")}
    end |= {f"{stage.name}/return_max": size for stage in RQL.stages} | {"bc/return_episodes": 10.0}
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(results_table(end, RQL, "mode"))
    printed = console.export_text()
    assert "…" not in printed and "π_final, finetuned" in printed
    assert printed.count(shown) == 3 * len(RQL.stages)


def test_a_run_that_does_not_say_its_stages_is_damaged(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", 0)
    (folder / "run.json").unlink()
    found = read_run(folder)
    assert (found.status, found.reason) == (RunStatus.damaged, "metrics.jsonl: no evaluation of a stage in run.json")


def test_a_table_of_stages_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_run(tmp_path / "run", 0, agent=PRETRAINED, points=[("online", 1, 0.0)])
    assert read_agent_table(tmp_path / "run") == PRETRAINED
    recorded = json.loads((tmp_path / "run" / "run.json").read_text())
    assert recorded["stages"][0] == {
        "name": "pretrain",
        "title": "skill discovery",
        "policy": "skills",
        "label": "skills",
        "data": "offline",
        "baseline": False,
    }
    assert recorded["policies"] == {"skills": "π_skill"}


@pytest.mark.parametrize(
    ("agent", "points", "axes", "lines"),
    [
        (RQL, None, ["offline updates", "online environment steps"], {"π_BC", "π_final"}),
        (RQL, [("bc", 10, 100.0)], ["bc updates"], {"π_BC"}),
        (RQL, [("bc", 10, 100.0), ("online", 5, 90.0)], ["online environment steps"], {"π_BC", "π_final"}),
        (IQL, [("offline", 5, 1.0), ("online", 5, 2.0)], ["offline updates", "online environment steps"], {"π"}),
        (CLONE, [("bc", 5, 1.0), ("bc", 10, 2.0)], ["bc updates"], {"π_BC"}),
    ],
    ids=["rql", "rql that only cloned", "rql that skipped offline", "no baseline", "one stage"],
)
def test_the_curve_of_a_run_has_a_panel_for_each_stage_but_the_baseline(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    agent: AgentTable,
    points: list[tuple[str, int, float]] | None,
    axes: list[str],
    lines: set[str],
) -> None:
    drawn: list[Figure] = []
    save = Figure.savefig

    def save_and_keep(figure: Figure, *arguments: Any, **options: Any) -> None:
        drawn.append(figure)
        save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", save_and_keep)
    path = draw_curve(write_run(tmp_path / "run", 0, agent=agent, points=points), "a run")
    assert path.stat().st_size
    assert [panel.get_xlabel() for panel in drawn[0].axes] == axes
    labels = {label for panel in drawn[0].axes for label in panel.get_legend_handles_labels()[1]}
    assert labels == lines
