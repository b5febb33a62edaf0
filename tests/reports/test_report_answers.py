"""What a report answers first: did it help, by how much, how sure is that, which arm was best, against what."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_runs import rows_of, write_run

from rql.reports.answers import answers, facts, warning
from rql.reports.cells import Table, short
from rql.reports.comparison import Comparison, compare
from rql.reports.curves import all_curves
from rql.reports.latex import latex
from rql.reports.report import make_pictures, write_report
from rql.reports.statistics import Estimate, share_above_zero

CLONES = (100.0, 200.0, 300.0, 400.0, 500.0)
"""The clone of each seed: they differ by more than finetuning adds."""


def write_arm(root: Path, alpha: float, gains: Sequence[float], **more: Any) -> None:
    """A run for each gain, which ends that much above its own clone after a dip of 10 + 10 · seed below it."""
    for seed, gain in enumerate(gains):
        clone = CLONES[seed]
        points = [("bc", 10, clone), ("online", 50, clone - 10.0 - 10.0 * seed), ("online", 100, clone + gain)]
        write_run(root / f"{alpha}-{seed}", seed, {"cql": {"alpha": alpha}}, points=points, **more)


def pictures_of(comparison: Comparison) -> dict[str, Any]:
    return {picture.name: picture for picture in make_pictures(comparison, all_curves(comparison))}


@pytest.fixture(scope="module")
def two_arms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seeds of each of two arms, the second of which is better; one has films."""
    root = tmp_path_factory.mktemp("runs") / "two arms"
    write_arm(root, 0.001, (10.0, 10.0, 10.0))
    write_arm(root, 0.01, (30.0, 20.0, -5.0), overrides=["cql=strong", "batch_size=64", "seed=0"])
    for name in ("bc.gif", "online.gif"):
        (root / "0.01-0" / "videos").mkdir(exist_ok=True)
        (root / "0.01-0" / "videos" / name).write_bytes(b"GIF89a")
    return root


@pytest.fixture(scope="module")
def made(two_arms: Path) -> Path:
    return write_report([two_arms], two_arms / "report").parent


def test_the_gain_is_that_of_each_run_over_its_own_clone(made: Path) -> None:
    best, other = rows_of(made / "final.csv")
    assert (best["arm"], other["arm"]) == ("cql.alpha=0.01", "cql.alpha=0.001")
    assert float(best["IQM return"]) == 215.0 and float(best["π_BC"]) == 200.0
    assert float(best["gain over π_BC"]) == 15.0 and float(best["P(gain > 0)"]) == pytest.approx(2 / 3)
    gained = [float(other[f"gain over π_BC{end}"]) for end in ("", ", low", ", high")]
    assert gained == [10.0, 10.0, 10.0]  # the clones' own spread is no part of it
    assert float(other["P(gain > 0)"]) == 1.0
    assert {row["seed"]: row["gain"] for row in rows_of(made / "runs.csv") if row["arm"] == "cql.alpha=0.01"} == {
        "0": "30.0",
        "1": "20.0",
        "2": "-5.0",
    }


def test_three_of_three_are_no_certainty() -> None:
    assert share_above_zero(np.array([1.0, 2.0, 3.0])) == pytest.approx((1.0, 0.438, 1.0), abs=1e-3)
    assert share_above_zero(np.array([0.0, -1.0])) == pytest.approx((0.0, 0.0, 0.658), abs=1e-3)


def test_the_worst_dip_has_the_seed_of_its_run(made: Path) -> None:
    for row in rows_of(made / "final.csv"):
        assert (row["worst dip"], row["worst dip, of"]) == ("-30.0", "seed 2")
    assert "−30.00 (seed 2)" in (made / "report.md").read_text()


def test_mean_and_median_are_folded_away_and_the_interquartile_mean_leads(made: Path) -> None:
    first = [name for name in rows_of(made / "final.csv")[0] if "," not in name]
    assert first == ["arm", "runs", "IQM return", "π_BC", "gain over π_BC", "P(gain > 0)", "worst dip"]
    page = (made / "index.html").read_text()
    folded = re.search(r"<details><summary><h2>Other statistics</h2></summary>.*?</details>", page, re.DOTALL)
    assert folded and "mean return" in folded[0] and "median return" in folded[0]
    assert "median return" not in page.replace(folded[0], "")


def test_the_best_arm_is_first_and_marked_everywhere(two_arms: Path, made: Path) -> None:
    page, told, paper = ((made / name).read_text() for name in ("index.html", "report.md", "final.tex"))
    assert page.index('<tr class="best"><td class="t">cql.alpha=0.01</td>') < page.index("cql.alpha=0.001</td>")
    assert "| **cql.alpha=0.01** |" in told and "| cql.alpha=0.001 |" in told
    assert r"\textbf{cql.alpha=0.01} &" in paper and "\ncql.alpha=0.001 &" in paper
    gain = pictures_of(compare([two_arms], None))["gain"].figure.axes[0]
    assert [label.get_text() for label in gain.get_yticklabels()] == ["cql.alpha=0.01", "cql.alpha=0.001"]


def test_the_first_sentences_say_which_arm_is_best_by_how_much_and_how_sure_that_is(two_arms: Path) -> None:
    said = dict(answers(compare([two_arms], None)))
    assert said["Best arm:"].startswith("cql.alpha=0.01. It ends at 215.0 [")
    assert said["Gain over its own π_BC:"].startswith("15.00 [−5.00, 30.00]; 2 of 3 runs end above it.")
    assert said["Gain over its own π_BC:"].endswith("Finetuning helped in these runs; they are too few to be sure.")
    assert said["Next arm:"].startswith(
        "cql.alpha=0.001; a run of the best arm ends better than one of this arm with prob"
    )
    assert said["All arms:"] == "5 of 6 runs end above their own π_BC; the IQM of their gains is 12.50."


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        ((10.0, 12.0, 14.0, 16.0, 18.0), "Finetuning helped: the whole interval is above 0."),
        ((-10.0, -12.0, -14.0, -16.0, -18.0), "Finetuning did harm: the whole interval is below 0."),
        ((-20.0, -10.0, 0.0, 11.0, 20.0), "Whether finetuning helped is open: the interval contains 0."),
        ((-10.0, -12.0), "Finetuning did not help in these runs; they are too few to be sure."),
        ((10.0,), "Finetuning helped in these runs; they are too few to be sure."),
    ],
)
def test_the_verdict_follows_the_interval(tmp_path: Path, gains: tuple[float, ...], verdict: str) -> None:
    write_arm(tmp_path, 0.01, gains)
    said = dict(answers(compare([tmp_path], None)))
    assert said["Gain over its own π_BC:"].endswith(verdict)
    assert said["Result:"].startswith("π_final ends at") and "Best arm:" not in said


@pytest.mark.parametrize(
    ("seeds", "said"), [(1, "no interval can be given"), (2, "every second time"), (3, "every fourth time"), (4, "")]
)
def test_few_seeds_are_warned_of_and_have_no_profile(tmp_path: Path, seeds: int, said: str) -> None:
    write_arm(tmp_path, 0.01, [float(seed) for seed in range(5)])
    write_arm(tmp_path, 0.001, [float(seed) for seed in range(seeds)])
    found = compare([tmp_path], None)
    assert said in warning(found) and bool(warning(found)) == bool(said)
    assert ("profiles" in pictures_of(found)) == (seeds == 4)


def test_what_was_held_fixed_is_said(two_arms: Path, made: Path) -> None:
    found = compare([two_arms], None)
    (said,) = [fact for fact in facts(found) if fact.startswith("Held fixed: ")]
    assert "beta=linear" in said and "env.id=Pendulum-v1" in said and "cql" not in said and "seed" not in said
    fixed = {row["key"]: row["value"] for row in rows_of(made / "fixed.csv")}
    assert fixed.items() >= {"beta": "linear", "dataset": "demo", "beta.start": "0.1", "env.id": "Pendulum-v1"}.items()
    assert not fixed.keys() & {"seed", "threads", "tracking.name", "cql.alpha"}


def test_curves_of_beta_kl_and_overestimation_are_drawn_where_runs_recorded_them(tmp_path: Path) -> None:
    for seed in range(2):
        lines = [
            {"stage": "online", "step": step, "time": step, "beta": step / 100, "kl": 0.1 * seed, "q_scale": 1.0}
            for step in (50, 100)
        ]
        lines.append({"stage": "online", "step": 100, "time": 1.0, "overestimation": float("nan")})
        write_run(tmp_path / str(seed), seed, lines=lines)
    figure = pictures_of(compare([tmp_path], None))["traces"].figure
    assert [axes.get_ylabel() for axes in figure.axes] == ["β", "KL from the clone\n[nats]"]
    beta, kl = (axes.get_lines()[-1] for axes in figure.axes)
    assert (list(beta.get_xdata()), list(beta.get_ydata())) == ([50.0, 100.0], [0.5, 1.0])
    assert list(kl.get_ydata()) == pytest.approx([0.05, 0.05])
    assert figure.axes[-1].get_xlabel() == "online environment steps"
    write_arm(tmp_path / "without", 0.01, (1.0, 2.0))
    assert "traces" not in pictures_of(compare([tmp_path / "without"], None))


def test_runs_and_films_are_linked_where_they_lie(two_arms: Path, made: Path) -> None:
    page = (made / "index.html").read_text()
    leads = re.findall(r'<a href="([^"]+)">([^<]+)</a>', page)
    assert {"../0.01-0", "../0.01-0/videos/online.gif", "final.tex", "runs.csv"} <= {place for place, _ in leads}
    assert all((made / place).exists() for place, _ in leads)
    elsewhere = write_report([two_arms], two_arms.parent / "else where" / "report").parent
    leads = re.findall(r'<a href="(\.\.[^"]+)">', (elsewhere / "index.html").read_text())
    assert "../../two%20arms/0.01-0" in leads


def test_the_page_shows_what_fits_and_the_csv_has_all(made: Path) -> None:
    page = (made / "index.html").read_text()
    head = re.findall(r"<th[^>]*>([^<]+)</th>", page.split("<h2>All runs</h2>")[1])
    assert head == ["run", "arm", "seed", "status", "final", "gain", "films", "command"]
    assert {*head, "task", "area_online", "wall_seconds", "code"} <= rows_of(made / "runs.csv")[0].keys()
    style = page.split("<style>")[1].split("</style>")[0]
    assert "overflow-x" not in style and "code { font-size: .92em; }" in style  # commands wrap, nothing scrolls away
    assert "td.t, td.c { overflow-wrap: anywhere;" in style and "@media print" in style
    assert "<span>215.0</span> <span>[" in page  # an interval moves below its value


def test_latex_prints_what_it_would_take_for_its_own() -> None:
    rows = (("a_b=50%, {x}~^\\&#$", Estimate(-1.5, -2.0, 1e9), None), ("π_final", 3, "β > 0"))
    found = latex(Table("t", "", "On π.", ("arm", "gain over π_BC", "why"), rows, best=True))
    assert found.splitlines() == [
        "% On π.",
        r"\begin{tabular}{lrl}",
        r"\toprule",
        r"arm & gain over $\pi_{\mathrm{BC}}$ & why \\",
        r"\midrule",
        r"\textbf{a\_b=50\%, \{x\}\textasciitilde{}\textasciicircum{}\textbackslash{}\&\#\$} & "
        r"\textbf{$-$1.50 [$-$2.00, 1.00e+09]} & \textbf{--} \\",
        r"$\pi_{\mathrm{final}}$ & 3 & $\beta$ $>$ 0 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_large_figures_stay_narrow() -> None:
    assert [short(value) for value in (9_999_999.0, -12_345_678.9, 1e30)] == ["9,999,999", "−1.23e+07", "1.00e+30"]
