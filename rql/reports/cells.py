"""What a table is made of, and how a person reads it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from rql.reports.statistics import Estimate


class Noted(NamedTuple):
    """A number with what it belongs to, such as the seed of the run that it is of."""

    value: float
    note: str


class Link(NamedTuple):
    """Words that lead to a file or a folder."""

    words: str
    path: Path


@dataclass(frozen=True)
class Links:
    """Some links in one cell."""

    each: tuple[Link, ...]


Cell = Estimate | Noted | Links | str | float | int | None


@dataclass(frozen=True)
class Table:
    """Cells that are written differently on a page and in a CSV."""

    name: str
    title: str
    note: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    code: tuple[str, ...] = ()
    """Names of the columns with commands and values as they are typed."""
    only_csv: tuple[str, ...] = ()
    """Names of the columns that the page leaves out."""
    most: int | None = None
    """The number of rows that the page shows; the CSV has all."""
    best: bool = False
    """Whether the first row is the best."""
    folded: bool = False
    """Whether the page shows it when asked alone."""
    latex: bool = False
    """Whether it is written as LaTeX too."""

    def shown(self) -> "Table":
        """The columns and rows that the page shows, with a note on what is missing."""
        kept = [at for at, name in enumerate(self.header) if name not in self.only_csv]
        rows = tuple(tuple(row[at] for at in kept) for row in self.rows[: self.most])
        cut = f" Shown are {len(rows)} of {len(self.rows)} rows; {self.name}.csv has all."
        note = self.note + (cut if len(rows) < len(self.rows) else "")
        header = tuple(self.header[at] for at in kept)
        return replace(self, note=note, header=header, rows=rows, only_csv=(), most=None)

    @property
    def files(self) -> list[str]:
        """The files with this table, beside the page."""
        return [f"{self.name}.{kind}" for kind in ("csv", *(["tex"] if self.latex else []))]


def is_number(cell: Cell) -> bool:
    """Whether a cell is a number, alone or with more."""
    return isinstance(cell, int | float | Estimate | Noted)


def short(value: float) -> str:
    """A number with about three digits."""
    if isinstance(value, int):
        return f"{value:,}"
    size = abs(value)
    if size >= 1e7:
        return f"{value:.2e}".replace("-", "−")
    digits = 0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 1 else 3
    return (f"{value:.1e}" if 0 < size < 0.001 else f"{value:,.{digits}f}").replace("-", "−")


def parts(cell: Cell) -> tuple[str, str]:
    """What a person reads in a cell: the value, and what qualifies it, if anything does."""
    if isinstance(cell, Estimate):
        if cell.low is None or cell.high is None:
            return short(cell.value), ""
        return short(cell.value), f"[{short(cell.low)}, {short(cell.high)}]"
    if isinstance(cell, Noted):
        return short(cell.value), f"({cell.note})"
    if isinstance(cell, Links):
        return ", ".join(link.words for link in cell.each) or "–", ""
    if cell is None:
        return "–", ""
    return cell if isinstance(cell, str) else short(cell), ""


def text(cell: Cell) -> str:
    """The text of a cell in one line."""
    return " ".join(part for part in parts(cell) if part)
