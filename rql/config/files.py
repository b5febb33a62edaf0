"""Where the configuration that comes with the package lies, and Hydra's compose API over it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.initialize import get_gh_backup, restore_gh_from_backup

PACKAGE = Path(__file__).resolve().parents[1]


def configuration_folder() -> Path:
    """`conf/`: inside an installed package, and beside it in a checkout."""
    inside = PACKAGE / "conf"
    return inside if inside.is_dir() else PACKAGE.parent / "conf"


@contextmanager
def composing() -> Iterator[None]:
    """Let `hydra.compose` read this configuration, also in a process that uses Hydra for something else."""
    other = get_gh_backup()
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(configuration_folder()), version_base="1.3"):
            yield
    finally:
        restore_gh_from_backup(other)
