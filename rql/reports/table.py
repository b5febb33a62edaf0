"""The table at the end of a run, and that of a comparison of its policies."""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.table import Table

from rql.config.agents.base import StageInfo


def results_table(summary: dict[str, Any], stages: Sequence[StageInfo], policies: dict[str, str], mode: str) -> Table:
    """The returns of the policies at the end of each stage.

    Args:
        summary: the summary of a run.
        stages: those of the run's agent.
        policies: the symbol of each of its policies.
        mode: how the policy acts behind `return`, whose minimum, maximum and normalised score are shown; the other
            mode's figures bear its name.
    """
    other = "sample" if mode == "mode" else "mode"
    scored = any(f"{stage.name}/normalized_score" in summary for stage in stages)
    counts = [summary.get(f"{stage.name}/return_episodes") for stage in stages]
    episodes = round(next(count for count in counts if count is not None))
    table = Table(title=f"return of {episodes} episodes, mean ± std", box=box.SIMPLE_HEAD, padding=(0, 1))
    table.add_column("policy", no_wrap=True)
    for column in (mode, other, "min", "max", *(["score"] if scored else [])):
        table.add_column(column, justify="right", no_wrap=True)
    for stage in stages:
        name, symbol = stage.name, policies[stage.policy]
        title = symbol if symbol == stage.label else f"{symbol}, {stage.label}"
        if f"{name}/return" not in summary:
            table.add_row(title, "skipped")
            continue
        cells = [
            _spread(summary, f"{name}/return"),
            _spread(summary, f"{name}/{other}_return"),
            _short(summary[f"{name}/return_min"]),
            _short(summary[f"{name}/return_max"]),
        ]
        table.add_row(title, *cells, *([f"{summary[f'{name}/normalized_score']:.1f}"] if scored else []))
    return table


def policies_table(figures: Sequence[dict[str, Any]], policies: dict[str, str], title: str) -> Table:
    """The returns of policies.

    Args:
        figures: a row of the table each, with `policy`, `mode` and the metrics of an evaluation.
        policies: the symbol of each policy.
        title: what the table is of.
    """
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
        table.add_row(policies[row["policy"]], row["mode"], *cells, _short(row["episode_length"]), *shares)
    return table


def _spread(summary: dict[str, Any], name: str) -> str:
    return f"{_short(summary[name])} ± {_short(summary[f'{name}_std'])}"


def _short(value: float) -> str:
    """A figure of at most seven characters, so that a terminal of 80 columns shows all of them."""
    if abs(value) >= 1e5:
        digits, exponent = f"{value:.{2 if abs(value) < 1e10 else 1}e}".split("e")
        return f"{digits}e{int(exponent)}"
    return f"{value:,.0f}" if abs(value) >= 1000.0 else f"{value:.1f}"
