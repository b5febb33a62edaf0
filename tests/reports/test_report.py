"""Reports: a page that needs nothing but itself, and says what the records say."""

import json
import re
import shlex
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from made_runs import rows_of, write_run, write_sweep

from rql.commands import report
from rql.reports.comparison import compare
from rql.reports.report import PAGE, write_report


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two arms × three seeds, and a run that failed, one that is missing, one damaged, one killed."""
    return write_sweep(tmp_path_factory.mktemp("runs") / "sweep")


@pytest.fixture(scope="module")
def made(sweep: Path) -> Path:
    """The report that the command makes of the sweep."""
    assert report.main([str(sweep)]) == 0
    return sweep / "report"


class Links(HTMLParser):
    """What a page would fetch, and what it leads to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.leads: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        (self.leads if tag == "a" else self.found).extend(named)
        if tag not in ("meta", "link", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_nothing_but_itself_and_has_every_arm_and_run(sweep: Path, made: Path) -> None:
    page = (made / PAGE).read_text()
    links = Links(page)
    assert not links.open
    assert all(link.startswith("data:") for link in links.found)
    assert "url(" not in page
    assert "<script" not in page
    for shown in (
        "cql.alpha=0.001",
        "cql.alpha=0.01",
        "out of &lt;memory&gt;",
        "its job is queued",
        "line 1 cannot be read",
    ):
        assert shown in page
    assert "<memory>" not in page
    assert "<b>here" not in page
    again = rows_of(made / "runs.csv")
    overrides = json.loads((sweep / "0.01-1" / "run.json").read_text())["overrides"]
    command = next(row["command"] for row in again if row["run"] == "0.01-1")
    assert shlex.split(command) == ["python", "run.py", *overrides]


def test_the_csv_equals_the_records(sweep: Path, made: Path) -> None:
    for row in rows_of(made / "runs.csv"):
        if row["status"] == "finished":
            summary = json.loads((sweep / row["run"] / "summary.json").read_text())
            assert float(row["final"]) == summary["online/return"]
            assert (int(row["seed"]), float(row["wall_seconds"])) == (summary["seed"], summary["wall_seconds"])
    final = {row["arm"]: row for row in rows_of(made / "statistics.csv")}
    assert {arm: float(row["mean return"]) for arm, row in final.items()} == {
        "cql.alpha=0.001": 160.0,
        "cql.alpha=0.01": 200.0,
    }
    low, high = (float(final["cql.alpha=0.01"][f"mean return, {end}"]) for end in ("low", "high"))
    assert 190.0 <= low < 200.0 < high <= 210.0
    assert float(rows_of(made / "improvement.csv")[0]["P(X > Y)"]) == 1.0
    curve = [
        row for row in rows_of(made / "curves.csv") if row["stage"] == "online" and row["arm"] == "cql.alpha=0.001"
    ]
    assert [float(row["step"]) for row in curve] == [0.0, 50.0, 100.0]
    assert [float(row["iqm"]) for row in curve] == [111.0, 60.0, 160.0]


def test_what_markdown_links_to_is_there(made: Path) -> None:
    links = re.findall(r"\]\(([^)]+)\)", (made / "report.md").read_text())
    assert {Path(link).suffix for link in links if not link.startswith("..")} == {".png", ".pdf", ".csv", ".tex"}
    assert all((made / unquote(link)).stat().st_size for link in links)


def test_several_tasks_are_compared_by_scores(tmp_path: Path) -> None:
    for env, gain in (("Hopper-v5", 0.0), ("Ant-v5", 20.0)):
        for seed in range(2):
            for alpha in (0.0, 1.0):
                config = {"cql": {"alpha": alpha}}
                write_run(tmp_path / "runs" / f"{env}{seed}{alpha}", seed, config, env=env, gain=gain, scored=True)
    out = write_report([tmp_path / "runs"], tmp_path / "out").parent
    row = rows_of(out / "statistics.csv")[0]
    assert float(row["mean normalised score"]) == pytest.approx((0.75 + 0.80 + 0.85 + 0.90) / 4)
    assert float(row["optimality gap of the score"]) == pytest.approx(1 - 0.825)
    by_task = [row for row in rows_of(out / "tasks.csv") if row["arm"] == "cql.alpha=0"]
    assert [(row["task"], float(row["IQM return"]), float(row["gain over π_BC"])) for row in by_task] == [
        ("Ant-v5", 175.0, 75.0),
        ("Hopper-v5", 155.0, 55.0),
    ]


def test_scores_without_references_go_from_the_clone_to_the_best_run(tmp_path: Path) -> None:
    for env, gain in (("Hopper-v5", 0.0), ("Ant-v5", -100.0)):
        for seed in range(2):
            write_run(tmp_path / f"{env}{seed}", seed, env=env, gain=gain)
    found = compare([tmp_path], None)
    finals = {run.directory.name: found.outcomes[run.directory].final for run in found.finished}
    assert finals["Hopper-v51"] == pytest.approx(1.0)
    assert finals["Hopper-v50"] == pytest.approx(50 / 60)
    assert (finals["Ant-v50"], finals["Ant-v51"]) == pytest.approx((-1.0, -0.8))


def test_one_seed_and_none_at_all_are_reported_too(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", 0)
    page = write_report([run], tmp_path / "one").read_text()
    assert "no interval can be given" in page
    (run / "summary.json").unlink()
    assert "nothing to compare" in write_report([run], tmp_path / "none").read_text()


def test_a_report_replaces_a_report_and_nothing_else(
    sweep: Path, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(made, out)
    write_report([sweep], out, ["seed"])
    assert not list(out.glob("figures/*cql.alpha*"))
    assert (out / "figures" / "sensitivity-seed.png").exists()
    with pytest.raises(SystemExit) as ended:
        report.main([str(sweep), "--out", str(sweep)])
    assert ended.value.code == 2
    assert "something that is no report" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["nowhere"], "nowhere is no folder"), (["empty"], "no run found in empty"), ([], "required: DIR")],
)
def test_what_cannot_be_reported_is_refused_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        report.main(arguments)
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert said in printed
    assert printed.count("\n") == 1


def test_reports_are_reproducible(sweep: Path, made: Path, tmp_path: Path) -> None:
    again = write_report([sweep], tmp_path / "again").parent
    names = [path.relative_to(made) for path in made.rglob("*.*") if path.suffix in (".csv", ".png", ".pdf")]
    assert {path.suffix for path in names} == {".csv", ".png", ".pdf"}
    assert all((made / name).read_bytes() == (again / name).read_bytes() for name in names)
