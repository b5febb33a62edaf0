"""A table as LaTeX, for a paper: `\\input{final.tex}` with the package booktabs."""

import re

from rql.reports.cells import Table, is_number, text

ESCAPED = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"} | {
    letter: f"\\{letter}" for letter in "&%$#_{}"
}
SYMBOLS = {
    "π": r"$\pi$",
    "β": r"$\beta$",
    "α": r"$\alpha$",
    "−": "$-$",
    "–": "--",
    ">": "$>$",
    "<": "$<$",
    "½": r"$\tfrac12$",
}
"""What the fonts of LaTeX lack, or print otherwise."""


def latex(table: Table) -> str:
    """The columns and rows that the page shows, the best row in bold."""
    shown = table.shown()
    columns = "".join("r" if any(is_number(row[at]) for row in shown.rows) else "l" for at in range(len(shown.header)))
    rows = [[_escaped(text(cell)) for cell in row] for row in shown.rows]
    if shown.best:
        rows[0] = [rf"\textbf{{{cell}}}" for cell in rows[0]]
    head, *body = (" & ".join(row) + r" \\" for row in [[*map(_escaped, shown.header)], *rows])
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", head, r"\midrule", *body, r"\bottomrule"]
    return "\n".join([f"% {shown.note}", *lines, r"\end{tabular}", ""])


def _escaped(words: str) -> str:
    subscripts = re.split(r"π_(\w+)", words)
    plain = ("".join(ESCAPED.get(letter, SYMBOLS.get(letter, letter)) for letter in part) for part in subscripts[::2])
    symbols = [rf"$\pi_{{\mathrm{{{name}}}}}$" for name in subscripts[1::2]]
    return "".join(part + symbol for part, symbol in zip(plain, [*symbols, ""], strict=True))
