"""A comparison as one HTML page that needs nothing but itself."""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

from rql.reports.answers import answers, facts, warning
from rql.reports.cells import Cell, Links, Table, is_number, parts, text
from rql.reports.comparison import Comparison
from rql.reports.figures import Picture
from rql.reports.markdown import address, title_of

LONG = 14
"""The most letters of a cell that is never broken."""
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
summary h2 { display: inline; }
details { margin: 1.4rem 0; }
p, figcaption { max-width: 54rem; }
.answers { font-size: 1.08em; padding-left: 1.2rem; max-width: 56rem; }
.warning { border-left: 4px solid #d55e00; padding: .3rem .9rem; background: #d55e0018; }
.facts, .note, figcaption { opacity: .75; font-size: .92em; }
.facts li, td { overflow-wrap: break-word; }
table { border-collapse: collapse; font-size: .88em; max-width: 100%; }
th, td { padding: .25rem .55rem; text-align: left; vertical-align: top; border-bottom: 1px solid #8884; }
th { border-bottom: 2px solid #8888; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
td span { white-space: nowrap; display: inline-block; }
td.t, td.c { overflow-wrap: anywhere; min-width: 9rem; }
tr.best { font-weight: 600; background: #009e7322; }
td.c { min-width: 14rem; }
code { font-size: .92em; }
figure { margin: .6rem 0 0; }
figure img { max-width: 100%; background: white; border-radius: 6px; }
@page { size: A4 landscape; margin: 12mm; }
@media print {
  :root { color-scheme: light; }
  body { max-width: none; margin: 0; padding: 0; font-size: 12px; }
  details::details-content { content-visibility: visible; }
  tr, figure, .warning { break-inside: avoid; }
  h2, .note { break-after: avoid; }
  figure img { max-height: 150mm; }
}
</style>
</head>
<body>
<h1>$title</h1>
$body
</body>
</html>
""")


def html_page(comparison: Comparison, tables: Sequence[Table], pictures: Sequence[Picture], out: Path) -> str:
    """The page, with its figures in it: the answers and the table behind them, then the figures, then other tables."""
    caution = warning(comparison)
    body = [
        _listed([f"<b>{escape(lead)}</b> {escape(said)}" for lead, said in answers(comparison)], "answers"),
        f'<p class="warning">{escape(caution)}</p>' if caution else "",
        *(_table(table, out) for table in tables[:1]),
        f"<h2>What was compared</h2>\n{_listed([*map(escape, facts(comparison))], 'facts')}",
        *map(_figure, pictures),
        *(_table(table, out) for table in tables[1:]),
    ]
    return PAGE.substitute(title=escape(title_of(comparison)), body="\n".join(body))


def _listed(sentences: Sequence[str], kind: str) -> str:
    return f'<ul class="{kind}">{"".join(f"<li>{sentence}</li>" for sentence in sentences)}</ul>'


def _table(table: Table, out: Path) -> str:
    shown = table.shown()
    title, files = f"<h2>{escape(shown.title)}</h2>", [f'<a href="{name}">{name}</a>' for name in shown.files]
    note = f'<p class="note">{escape(shown.note)} {" ".join(files)}</p>'
    filled = _rows(shown, out) if shown.rows else ""
    if shown.folded:
        return f"<details><summary>{title}</summary>\n{note}\n{filled}</details>"
    return f"{title}\n{note}\n{filled}"


def _rows(shown: Table, out: Path) -> str:
    kinds = [_kind(shown, at) for at in range(len(shown.header))]
    head = "".join(f"<th{kind}>{escape(name)}</th>" for name, kind in zip(shown.header, kinds, strict=True))
    rows = [
        "".join(
            f"<td{kind}>{_code(escape(str(cell))) if name in shown.code else _cell(cell, out)}</td>"
            for cell, name, kind in zip(row, shown.header, kinds, strict=True)
        )
        for row in shown.rows
    ]
    best = ' class="best"' if shown.best else ""
    body = f"<tr{best}>" + "</tr>\n<tr>".join(rows) + "</tr>"
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>"


def _kind(shown: Table, at: int) -> str:
    """The class of a column: of commands, of numbers, of words that may have to be broken."""
    if shown.header[at] in shown.code:
        return ' class="c"'
    cells = [row[at] for row in shown.rows]
    if any(is_number(cell) for cell in cells):
        return ' class="n"'
    return ' class="t"' if any(len(text(cell)) > LONG for cell in cells) else ""


def _cell(cell: Cell, out: Path) -> str:
    """Links, or a value whose interval moves below it where a column is narrow."""
    if isinstance(cell, Links):
        return " ".join(f'<a href="{escape(address(link.path, out))}">{escape(link.words)}</a>' for link in cell.each)
    value, rest = map(escape, parts(cell))
    return f"<span>{value}</span> <span>{rest}</span>" if rest else value


def _figure(picture: Picture) -> str:
    encoded = base64.b64encode(picture.png).decode()
    image = f'<img alt="{escape(picture.title)}" src="data:image/png;base64,{encoded}">'
    title, caption = escape(picture.title), escape(picture.caption)
    return f"<h2>{title}</h2>\n<figure>{image}<figcaption>{caption}</figcaption></figure>"


def _code(escaped: str) -> str:
    return f"<code>{escaped}</code>" if escaped else ""
