"""How the code is built: in which order modules import each other, and how long files and functions are."""

import ast
from pathlib import Path

import pytest
from conftest import ROOT

ORDER = [
    *("utils", "config", "envs", "data", "nn", "method", "optim"),
    *("priors.density", "priors.base", "agents", "priors", "training", "evaluation"),
    *("runs.record", "runs.folder", "runs.interruption", "runs.checkpoints", "tracking", "reports", "runs"),
    *("collect", "sweep", "commands"),
]
"""Rooms, and modules where a room stands on both sides of another: none imports what comes after it."""
MAX_FILE_LINES, MAX_FUNCTION_LINES = 300, 45
FOLDERS = ("rql", "tests", "benchmarks", "examples")
FILES = sorted([*ROOT.glob("*.py"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))])
MODULES = sorted(path for path in (ROOT / "rql").rglob("*.py") if path.parent != ROOT / "rql")


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT / "rql").with_suffix("").parts).removesuffix(".__init__")


def place(name: str) -> int:
    """Where a module stands in the order, by the longest entry that it belongs to."""
    found = [entry for entry in ORDER if name == entry or name.startswith(f"{entry}.")]
    return ORDER.index(max(found, key=len))


def imports_of(path: Path) -> set[str]:
    """The modules of this package that a module imports, wherever in it."""
    names = {name_of(module) for module in MODULES}
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("rql."):
            module = node.module.removeprefix("rql.")
            found |= {inner if (inner := f"{module}.{alias.name}") in names else module for alias in node.names}
    return found


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_run_one_way(path: Path) -> None:
    late = [name for name in imports_of(path) if place(name) > place(name_of(path))]
    assert not late, f"{name_of(path)} imports {', '.join(late)}"


def test_no_module_imports_itself_over_others() -> None:
    left = {name_of(path): imports_of(path) for path in MODULES}
    while free := {name for name, imported in left.items() if not imported & left.keys()}:
        left = {name: imported for name, imported in left.items() if name not in free}
    assert not left, f"these import each other: {left}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines = len(text.splitlines())
    assert lines <= MAX_FILE_LINES, f"{lines} lines"
    functions = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    lengths = [(function.name, (function.end_lineno or 0) - function.lineno + 1) for function in functions]
    assert not [(name, length) for name, length in lengths if length > MAX_FUNCTION_LINES]
