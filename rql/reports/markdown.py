"""A comparison in Markdown."""

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from rql.reports.answers import answers, facts, warning
from rql.reports.cells import Cell, Links, Table, text
from rql.reports.comparison import Comparison
from rql.reports.figures import Picture


def title_of(comparison: Comparison) -> str:
    """What the pages are called."""
    return f"Comparison on {', '.join(comparison.tasks) or 'no task yet'}"


def address(path: Path, out: Path) -> str:
    """A file or folder as a link from the report in `out`."""
    return quote(Path(os.path.relpath(path.resolve(), out.resolve())).as_posix())


def markdown_page(comparison: Comparison, tables: Sequence[Table], pictures: Sequence[Picture], out: Path) -> str:
    """The page in Markdown, with links to `figures/` and to the CSV files."""
    said = [f"- **{_plain(lead)}** {_plain(sentence)}" for lead, sentence in answers(comparison)]
    caution = f"**{_plain(warning(comparison))}**" if warning(comparison) else ""
    compared = "\n".join(["## What was compared", "", *(f"- {_plain(fact)}" for fact in facts(comparison))])
    first, rest = [_table(table, out) for table in tables[:1]], [_table(table, out) for table in tables[1:]]
    parts = [f"# {_plain(title_of(comparison))}", "\n".join(said), caution, *first, compared]
    return "\n\n".join(part for part in [*parts, *map(_figure, pictures), *rest] if part) + "\n"


def _table(table: Table, out: Path) -> str:
    shown = table.shown()
    parts = [
        f"## {_plain(shown.title)}",
        f"{_plain(shown.note)} ({', '.join(f'[{name}]({name})' for name in shown.files)})",
    ]
    if shown.rows:
        lines = ["| " + " | ".join(map(_plain, shown.header)) + " |", "|---" * len(shown.header) + "|"]
        for number, row in enumerate(shown.rows):
            cells = [
                _backticks(text(cell)) if name in shown.code else _cell(cell, out)
                for cell, name in zip(row, shown.header, strict=True)
            ]
            strong = [f"**{cell}**" if shown.best and number == 0 else cell for cell in cells]
            lines.append("| " + " | ".join(strong) + " |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _cell(cell: Cell, out: Path) -> str:
    if isinstance(cell, Links):
        return " ".join(f"[{_plain(link.words)}]({address(link.path, out)})" for link in cell.each)
    return _plain(text(cell))


def _figure(picture: Picture) -> str:
    image = f"![{_plain(picture.title)}](figures/{picture.name}.png)"
    pdf = f"([PDF](figures/{picture.name}.pdf))"
    return f"## {_plain(picture.title)}\n\n{image}\n\n{_plain(picture.caption)} {pdf}"


def _plain(words: str) -> str:
    """Without what Markdown would take for its own."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>|" else letter for letter in " ".join(words.split()))


def _backticks(words: str) -> str:
    """As code; a bar would end the cell even there."""
    return "`` " + words.replace("|", "\\|") + " ``" if words else ""
