"""Where the configuration that comes with the package lies, and Hydra's compose API over it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra import initialize_config_dir
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import SearchPathException
from hydra.initialize import get_gh_backup, restore_gh_from_backup

TRAIN = "train"
"""The name of the job whose plan is composed before it runs."""
PACKAGE = Path(__file__).resolve().parents[1]


def configuration_folder() -> Path:
    """`conf/`: inside an installed package, and beside it in a checkout."""
    inside = PACKAGE / "conf"
    return inside if inside.is_dir() else PACKAGE.parent / "conf"


@contextmanager
def composing(own: str | None = None, name: str = TRAIN) -> Iterator[None]:
    """Let `hydra.compose` read this configuration, also in a process that uses Hydra for something else.

    Args:
        own: the folder of `--config-dir`, searched before ours.
        name: of the job, as Hydra knows it.
    """
    other = get_gh_backup()
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(configuration_folder()), name, version_base="1.3"):
            if own:
                _search_too(Path(own).absolute(), name)
            yield
    finally:
        restore_gh_from_backup(other)


def _search_too(own: Path, name: str) -> None:
    """As `hydra.main` does."""
    if not own.is_dir():
        raise SearchPathException(f"Additional config directory '{own}' not found")
    paths = create_config_search_path(str(configuration_folder()))
    paths.prepend("command-line", f"file://{own}", SearchPathQuery(provider="schema"))
    GlobalHydra.instance().clear()
    Hydra.create_main_hydra2(task_name=name, config_search_path=paths)
