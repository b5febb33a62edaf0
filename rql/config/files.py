"""Where the configuration that comes with the package lies."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def configuration_folder() -> Path:
    """`conf/`: inside an installed package, and beside it in a checkout."""
    inside = PACKAGE / "conf"
    return inside if inside.is_dir() else PACKAGE.parent / "conf"
