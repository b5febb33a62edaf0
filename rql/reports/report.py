"""A comparison as a folder: HTML, Markdown, CSV, LaTeX and figures."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from rql.reports.cells import Cell, Links, Noted, Table, text
from rql.reports.comparison import Comparison, compare
from rql.reports.contrasts import heat_maps, improvement_matrix, sensitivities
from rql.reports.curves import Curves, all_curves, curves_table
from rql.reports.figures import Picture, final_points, gains, learning_curves, profiles
from rql.reports.latex import latex
from rql.reports.markdown import markdown_page
from rql.reports.page import html_page
from rql.reports.sheets import contact_sheets
from rql.reports.statistics import Estimate
from rql.reports.tables import make_tables
from rql.reports.traces import traces
from rql.utils.errors import RQLError
from rql.utils.files import write_atomically

MARKER = ".rql-report"
PAGE = "index.html"
ENDS: dict[type, tuple[str, ...]] = {Estimate: ("", ", low", ", high"), Noted: ("", ", of")}
"""How the heads of the columns end that a cell with several values takes in a CSV."""


def write_report(directories: Sequence[Path], out: Path, by: Sequence[str] | None = None) -> Path:
    """Compare the runs below `directories` from their records alone, and write the report into `out`; its page.

    A report that is there already is replaced.

    Args:
        directories: folders of runs, of sweeps, or any above such.
        out: a new folder, an empty one, or one with an earlier report.
        by: config keys and groups that make the arms; None takes what differs.

    Raises:
        RQLError: if there is no run, `by` names what no run has, or `out` holds something else.
        OSError: if the report cannot be written.
    """
    _check(out)
    comparison = compare(directories, by)
    curves = all_curves(comparison)
    pictures = make_pictures(comparison, curves)
    tables = make_tables(comparison)
    files = {
        f"figures/{picture.name}.{kind}": content
        for picture in pictures
        for kind, content in (("png", picture.png), ("pdf", picture.pdf))
    }
    files |= {f"{table.name}.csv": _csv(table) for table in [*tables, curves_table(curves)]}
    files |= {f"{table.name}.tex": latex(table).encode() for table in tables if table.latex}
    files["report.md"] = markdown_page(comparison, tables, pictures, out).encode()
    files[PAGE] = html_page(comparison, tables, pictures, out).encode()
    _write(out, files)
    return out / PAGE


def make_pictures(comparison: Comparison, curves: Curves) -> list[Picture]:
    """All figures, in the order of the page."""
    if not comparison.finished:
        return []
    found = [
        gains(comparison),
        *learning_curves(comparison, curves),
        *traces(comparison),
        final_points(comparison),
        *profiles(comparison),
        improvement_matrix(comparison),
        *sensitivities(comparison),
        *heat_maps(comparison),
        *contact_sheets(comparison),
    ]
    return [picture for picture in found if picture]


def _check(out: Path) -> None:
    if out.is_dir() and any(out.iterdir()) and not (out / MARKER).exists():
        raise RQLError(f"{out} holds something that is no report; --out names another folder")
    if out.exists() and not out.is_dir():
        raise RQLError(f"{out} is a file; --out names a folder for the report")


def _write(out: Path, files: dict[str, bytes]) -> None:
    """The files in a report's folder; those of an earlier report that this one lacks are deleted."""
    (out / "figures").mkdir(parents=True, exist_ok=True)
    known = (out / MARKER).read_text(encoding="utf-8").splitlines() if (out / MARKER).exists() else []
    listed = "".join(f"{name}\n" for name in sorted({*known, *files}))
    write_atomically(out / MARKER, listed.encode())  # first, so that half a report is known as one
    for name, content in files.items():
        write_atomically(out / name, content)
    for name in set(known) - files.keys():
        (out / name).unlink(missing_ok=True)
    write_atomically(out / MARKER, "".join(f"{name}\n" for name in sorted(files)).encode())


def _csv(table: Table) -> bytes:
    """Full precision; an estimate takes three columns, a number with a note two."""
    columns = [_columns(name, [row[at] for row in table.rows]) for at, name in enumerate(table.header)]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    for row in zip(*(column for group in columns for column in group), strict=True):
        writer.writerow(["" if value is None else value for value in row])
    return buffer.getvalue().encode()


def _columns(name: str, cells: Sequence[Cell]) -> list[list[object]]:
    """The columns of the CSV, heads included, that a column of a table takes."""
    ends = max((ENDS.get(type(cell), ("",)) for cell in cells), key=len, default=("",))
    values = [tuple(cell) if isinstance(cell, Estimate | Noted) else (_plain(cell),) for cell in cells]
    return [[name + end, *(dict(enumerate(of)).get(at) for of in values)] for at, end in enumerate(ends)]


def _plain(cell: Cell) -> object:
    return text(cell) if isinstance(cell, Links) else cell
