"""A comparison as one HTML page that needs nothing but itself, and as Markdown."""

import base64
from collections.abc import Sequence
from html import escape
from string import Template

from rql.reports.comparison import Comparison
from rql.reports.figures import Picture
from rql.reports.grouping import find_factors
from rql.reports.runs import RunStatus
from rql.reports.statistics import Estimate
from rql.reports.tables import Cell, Table, text

PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<link rel="icon" href="data:,">
<style>
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.6rem; margin-bottom: .3rem; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .4rem; }
p, figcaption { max-width: 50rem; }
.facts, .note, figcaption { opacity: .75; font-size: .92em; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88em; }
th, td { padding: .25rem .7rem; text-align: left; vertical-align: top; border-bottom: 1px solid #8884; }
th { border-bottom: 2px solid #8888; }
td.n, th.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
td:first-child { min-width: 11rem; }
code { font-size: .92em; white-space: nowrap; }
figure { margin: .6rem 0 0; }
figure img { max-width: 100%; background: white; border-radius: 6px; }
</style>
</head>
<body>
<h1>$title</h1>
<div class="facts">$facts</div>
$body
</body>
</html>
""")


def html_page(comparison: Comparison, tables: Sequence[Table], pictures: Sequence[Picture]) -> str:
    """The page, with its figures in it: first the final scores, then the figures, then the other tables."""
    parts = [*map(_html_table, tables[:1]), *map(_html_figure, pictures), *map(_html_table, tables[1:])]
    facts = "".join(f"<p>{escape(fact)}</p>" for fact in _facts(comparison))
    return PAGE.substitute(title=escape(_title(comparison)), facts=facts, body="\n".join(parts))


def markdown_page(comparison: Comparison, tables: Sequence[Table], pictures: Sequence[Picture]) -> str:
    """The same in Markdown, with links to `figures/` and to the CSV files."""
    facts = "\n\n".join(map(_plain, _facts(comparison)))
    parts = [*map(_markdown_table, tables[:1]), *map(_markdown_figure, pictures), *map(_markdown_table, tables[1:])]
    return "\n\n".join([f"# {_plain(_title(comparison))}", facts, *parts]) + "\n"


def _title(comparison: Comparison) -> str:
    return f"Comparison on {', '.join(comparison.tasks) or 'no task yet'}"


def _facts(comparison: Comparison) -> list[str]:
    counts = {status: sum(run.status is status for run in comparison.runs) for status in RunStatus}
    counted = ", ".join(f"{count} {status.value}" for status, count in counts.items() if count)
    versions = list(dict.fromkeys(version for run in comparison.runs for version in run.code_versions))
    varied = "; ".join(
        factor.name + (f" (with {', '.join(factor.also)})" if factor.also else "") for factor in comparison.factors
    )
    facts = [
        f"{len(comparison.runs)} runs in {', '.join(map(str, comparison.directories))}: {counted}.",
        f"Grouped by: {varied or 'nothing, the runs differ in seed and task alone'}.{_pooled(comparison)}",
        f"Made {comparison.when} by RQL {comparison.code}; the runs were made by {', '.join(versions) or 'unknown'}.",
    ]
    if not comparison.finished:
        return [*facts, "No run has finished yet, so that there is nothing to compare."]
    if any(len(comparison.finished_of(arm, task)) == 1 for arm in comparison.compared for task in comparison.tasks):
        facts.append("Where an arm has one finished run of a task, no interval can be given for it.")
    return facts


def _pooled(comparison: Comparison) -> str:
    """What differs within the arms, where `--by` left it out."""
    found: dict[str, None] = {}
    for arm in comparison.arms:
        found |= dict.fromkeys(factor.name for factor in find_factors(arm.runs, None))
    left = [name for name in found if name not in [factor.name for factor in comparison.factors]]
    return f" Pooled over: {', '.join(left)}." if left else ""


def _html_table(table: Table) -> str:
    rows, note = _shown(table)
    numbers = [
        any(isinstance(row[at], int | float | Estimate) for row in table.rows) for at in range(len(table.header))
    ]
    head = "".join(f"<th{_number(n)}>{escape(name)}</th>" for name, n in zip(table.header, numbers, strict=True))
    body = "\n".join(
        "<tr>"
        + "".join(
            f"<td{_number(n)}>{_code(escape(text(cell))) if name in table.code else escape(text(cell))}</td>"
            for cell, name, n in zip(row, table.header, numbers, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    filled = f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'
    return f'<h2>{escape(table.title)}</h2>\n<p class="note">{escape(note)}</p>\n{filled if rows else ""}'


def _html_figure(picture: Picture) -> str:
    encoded = base64.b64encode(picture.png).decode()
    image = f'<img alt="{escape(picture.title)}" src="data:image/png;base64,{encoded}">'
    title, caption = escape(picture.title), escape(picture.caption)
    return f"<h2>{title}</h2>\n<figure>{image}<figcaption>{caption}</figcaption></figure>"


def _markdown_table(table: Table) -> str:
    rows, note = _shown(table)
    parts = [f"## {_plain(table.title)}", f"{_plain(note)} ([{table.name}.csv]({table.name}.csv))"]
    if rows:
        lines = ["| " + " | ".join(map(_plain, table.header)) + " |", "|---" * len(table.header) + "|"]
        for row in rows:
            cells = [
                _backticks(text(cell)) if name in table.code else _plain(text(cell))
                for cell, name in zip(row, table.header, strict=True)
            ]
            lines.append("| " + " | ".join(cells) + " |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _markdown_figure(picture: Picture) -> str:
    image = f"![{_plain(picture.title)}](figures/{picture.name}.png)"
    pdf = f"([PDF](figures/{picture.name}.pdf))"
    return f"## {_plain(picture.title)}\n\n{image}\n\n{_plain(picture.caption)} {pdf}"


def _shown(table: Table) -> tuple[Sequence[tuple[Cell, ...]], str]:
    rows = table.rows[: table.most]
    cut = f" Shown are {len(rows)} of {len(table.rows)} rows; {table.name}.csv has all."
    return rows, table.note + (cut if len(rows) < len(table.rows) else "")


def _number(is_number: bool) -> str:
    return ' class="n"' if is_number else ""


def _code(escaped: str) -> str:
    return f"<code>{escaped}</code>" if escaped else ""


def _plain(words: str) -> str:
    """Without what Markdown would take for its own."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>|" else letter for letter in " ".join(words.split()))


def _backticks(words: str) -> str:
    """As code; a bar would end the cell even there."""
    return "`` " + words.replace("|", "\\|") + " ``" if words else ""
