"""The table at the end of a run, and that of a comparison of its policies."""

from collections.abc import Callable, Sequence
from typing import Any

from rich import box
from rich.table import Table

from rql.config.agents.base import AgentTable
from rql.config.headline import RETURN, HeadlineInfo

Cells = dict[str, Callable[[str], str]]
"""The columns of a table, with what a prefix of metrics has in each."""


def results_table(summary: dict[str, Any], agent: AgentTable, mode: str, headline: HeadlineInfo = RETURN) -> Table:
    """The headline of the policies at the end of each stage.

    Args:
        summary: the summary of a run.
        agent: the stages and policies of the run's agent.
        mode: how the policy acts behind `return`, whose minimum, maximum and normalised score are shown where it is the
            headline; the other mode's figures bear its name.
        headline: what is shown first.
    """
    scored = any(f"{stage.name}/normalized_score" in summary for stage in agent.stages)
    columns = _columns(summary, mode, headline, scored)
    counts = [summary.get(f"{stage.name}/return_episodes") for stage in agent.stages]
    episodes = round(next(count for count in counts if count is not None))
    table = Table(title=_title(headline, episodes), box=box.SIMPLE_HEAD, padding=(0, 1))
    table.add_column("policy", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for stage in agent.stages:
        prefix, symbol = f"{stage.name}/", agent.symbol(stage)
        title = symbol if symbol == stage.label else f"{symbol}, {stage.label}"
        skipped = f"{prefix}{headline.metric}" not in summary
        table.add_row(title, *(["skipped"] if skipped else [cell(prefix) for cell in columns.values()]))
    return table


def _columns(summary: dict[str, Any], mode: str, headline: HeadlineInfo, scored: bool) -> Cells:
    other = "sample" if mode == "mode" else "mode"
    if headline.share:
        return {
            mode: lambda prefix: headline.said(summary, prefix),
            other: lambda prefix: headline.said(summary, f"{prefix}{other}_"),
            "return": lambda prefix: _spread(summary, f"{prefix}return"),
        }
    score: Cells = {"score": lambda prefix: f"{summary[f'{prefix}normalized_score']:.1f}"}
    return {
        mode: lambda prefix: _spread(summary, f"{prefix}return"),
        other: lambda prefix: _spread(summary, f"{prefix}{other}_return"),
        "min": lambda prefix: _short(summary[f"{prefix}return_min"]),
        "max": lambda prefix: _short(summary[f"{prefix}return_max"]),
    } | (score if scored else {})


def _title(headline: HeadlineInfo, episodes: int) -> str:
    if headline.share:
        return f"{headline.title} in {episodes} episodes with its 95 % interval; return, mean ± std"
    return f"return of {episodes} episodes, mean ± std"


def policies_table(
    figures: Sequence[dict[str, Any]], policies: dict[str, str], title: str, headline: HeadlineInfo = RETURN
) -> Table:
    """The headline and the returns of policies.

    Args:
        figures: a row of the table each, with `policy`, `mode` and the metrics of an evaluation.
        policies: the symbol of each policy.
        title: what the table is of.
        headline: what is shown first.
    """
    rates = {"normalized_score": "score", "success_rate": "success"}
    known = {name: column for name, column in rates.items() if name in figures[0] and name != headline.metric}
    title = f"{title}: {_title(headline, round(figures[0]['return_episodes']))}"
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1))
    table.add_column("policy", no_wrap=True)
    for column in ("acts by", *(one.title for one in headline.shown), "min", "max", "steps", *known.values()):
        table.add_column(column, justify="right", no_wrap=True)
    for row in figures:
        cells = [headline.said(row)] if headline.share else []
        cells += [_spread(row, "return"), *(_short(row[name]) for name in ("return_min", "return_max"))]
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
