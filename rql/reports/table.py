"""The table at the end of a run."""

from typing import Any

from rich.table import Table

ROWS = {"bc": "π_BC, behaviour cloning", "offline": "π_final after offline", "online": "π_final after online"}


def results_table(summary: dict[str, Any], mode: str) -> Table:
    """The returns of the policies at the end of each stage: mean ± standard deviation over episodes.

    `mode` is the one behind `return`; the other one's figures bear its name.
    """
    other = "sample" if mode == "mode" else "mode"
    scored = any(f"{stage}/normalized_score" in summary for stage in ROWS)
    table = Table(title="return, mean ± std over episodes")
    table.add_column("policy")
    for column in (f"{mode} (headline)", other, "min", "max", "length", "episodes"):
        table.add_column(column, justify="right")
    if scored:
        table.add_column("normalized", justify="right")
    for stage, title in ROWS.items():
        if f"{stage}/return" not in summary:
            table.add_row(title, "skipped")
            continue
        cells = [
            f"{summary[f'{stage}/return']:,.1f} ± {summary[f'{stage}/return_std']:,.1f}",
            f"{summary[f'{stage}/{other}_return']:,.1f} ± {summary[f'{stage}/{other}_return_std']:,.1f}",
            f"{summary[f'{stage}/return_min']:,.1f}",
            f"{summary[f'{stage}/return_max']:,.1f}",
            f"{summary[f'{stage}/episode_length']:,.0f}",
            f"{summary[f'{stage}/return_episodes']:.0f}",
        ]
        table.add_row(title, *cells, *([f"{summary[f'{stage}/normalized_score']:.1f}"] if scored else []))
    return table
