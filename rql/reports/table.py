"""The table at the end of a run, and that of a comparison of its policies."""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.table import Table

POLICIES = {"bc": "π_BC", "final": "π_final"}
ROWS = {"bc": "π_BC", "offline": "π_final, offline", "online": "π_final, finetuned"}


def results_table(summary: dict[str, Any], stages: Any, policies: Any, mode: str) -> Table:
    """The returns of the policies at the end of each stage.

    `mode` is the one behind `return`; the other one's figures bear its name. Minimum, maximum and normalised score
    are those of `mode`.
    """
    other = "sample" if mode == "mode" else "mode"
    scored = any(f"{stage}/normalized_score" in summary for stage in ROWS)
    episodes = round(summary["bc/return_episodes"])
    table = Table(title=f"return of {episodes} episodes, mean ± std", box=box.SIMPLE_HEAD, padding=(0, 1))
    table.add_column("policy", no_wrap=True)
    for column in (mode, other, "min", "max", *(["score"] if scored else [])):
        table.add_column(column, justify="right", no_wrap=True)
    for stage, title in ROWS.items():
        if f"{stage}/return" not in summary:
            table.add_row(title, "skipped")
            continue
        cells = [
            _spread(summary, f"{stage}/return"),
            _spread(summary, f"{stage}/{other}_return"),
            _short(summary[f"{stage}/return_min"]),
            _short(summary[f"{stage}/return_max"]),
        ]
        table.add_row(title, *cells, *([f"{summary[f'{stage}/normalized_score']:.1f}"] if scored else []))
    return table


def policies_table(figures: Sequence[dict[str, Any]], title: str) -> Table:
    """The returns of policies: a row for each of `figures`, with `policy`, `mode` and the metrics of an evaluation."""
    rates = {"normalized_score": "score", "success_rate": "success"}
    known = {name: column for name, column in rates.items() if name in figures[0]}
    episodes = round(figures[0]["return_episodes"])
    table = Table(title=f"{title}: return of {episodes} episodes, mean ± std", box=box.SIMPLE_HEAD, padding=(0, 1))
    table.add_column("policy", no_wrap=True)
    for column in ("acts by", "return", "min", "max", "steps", *known.values()):
        table.add_column(column, justify="right", no_wrap=True)
    for row in figures:
        cells = [_spread(row, "return"), *(_short(row[name]) for name in ("return_min", "return_max"))]
        shares = [f"{row[name]:.0%}" if name == "success_rate" else f"{row[name]:.1f}" for name in known]
        table.add_row(POLICIES[row["policy"]], row["mode"], *cells, _short(row["episode_length"]), *shares)
    return table


def _spread(summary: dict[str, Any], name: str) -> str:
    return f"{_short(summary[name])} ± {_short(summary[f'{name}_std'])}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000.0 else f"{value:.1f}"
