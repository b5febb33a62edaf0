"""A comparison as a folder: HTML, Markdown, CSV and figures."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from rql.reports.comparison import Comparison, compare
from rql.reports.contrasts import heat_maps, improvement_matrix, improvement_over_baseline, sensitivities
from rql.reports.curves import Curves, all_curves, curves_table
from rql.reports.figures import Picture, final_points, learning_curves, profiles
from rql.reports.page import html_page, markdown_page
from rql.reports.statistics import Estimate
from rql.reports.tables import Table, make_tables
from rql.utils.errors import RQLError
from rql.utils.files import write_atomically

MARKER = ".rql-report"
PAGE = "index.html"


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
    files["report.md"] = markdown_page(comparison, tables, pictures).encode()
    files[PAGE] = html_page(comparison, tables, pictures).encode()
    _write(out, files)
    return out / PAGE


def make_pictures(comparison: Comparison, curves: Curves) -> list[Picture]:
    """All figures, in the order of the page."""
    if not comparison.finished:
        return []
    found = [
        *learning_curves(comparison, curves),
        final_points(comparison),
        *profiles(comparison),
        improvement_over_baseline(comparison),
        improvement_matrix(comparison),
        *sensitivities(comparison),
        *heat_maps(comparison),
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
    """Full precision; an estimate takes three columns."""
    wide = [any(isinstance(row[at], Estimate) for row in table.rows) for at in range(len(table.header))]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    heads = [
        [name, f"{name}, low", f"{name}, high"] if w else [name] for name, w in zip(table.header, wide, strict=True)
    ]
    writer.writerow([name for names in heads for name in names])
    for row in table.rows:
        cells = [
            (list(cell) if isinstance(cell, Estimate) else [cell, None, None]) if w else [cell]
            for cell, w in zip(row, wide, strict=True)
        ]
        writer.writerow(["" if value is None else value for values in cells for value in values])
    return buffer.getvalue().encode()
