"""`imports=[my_module]`: modules of the user's that register choices before Hydra composes the configuration.

They are named on the command line, or under `imports:` in the YAML of a preset that the command line names with
`experiment=`. A module is searched where Python searches, PYTHONPATH for one, and then in the current directory.
"""

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from rql.utils.errors import ConfigError

KEY, PRESETS = "imports", "experiment"
CONFIG_DIR, FILE = ("--config-dir", "-cd"), "file://"


def import_named(arguments: Sequence[str], conf: Path) -> list[Path]:
    """Import the modules that a command line names; the folders of YAML files that it adds.

    Args:
        arguments: those of the command.
        conf: the folder that comes with this package.

    Raises:
        ConfigError: if a module cannot be imported; it says why.
    """
    folders = list(_config_dirs(arguments))
    names = [*_imports(arguments), *_of_presets(_presets(arguments), [conf, *folders])]
    if names and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    import_known(names)
    return folders


def import_known(names: Sequence[str]) -> None:
    """Import modules that Python finds by itself, as those that a saved run names.

    Raises:
        ConfigError: if one of them cannot be imported; it says why.
    """
    for name in dict.fromkeys(names):
        try:
            importlib.import_module(name)
        except Exception as error:  # whatever the user's own code raises
            allowed = f"{type(error).__name__}: {error}".splitlines()[0]
            if isinstance(error, ModuleNotFoundError) and error.name and name.startswith(error.name):
                allowed = f"there is no module {error.name}; PYTHONPATH=FOLDER says where it lies"
            raise ConfigError(KEY, name, allowed) from error


def searched_folders() -> list[Path]:
    """The folders with YAML files of the Hydra application that is running."""
    entries = GlobalHydra.instance().config_loader().get_search_path().get_path()
    return [Path(entry.path.removeprefix(FILE)) for entry in entries if entry.path and entry.path.startswith(FILE)]


def _config_dirs(arguments: Sequence[str]) -> Iterator[Path]:
    for argument, following in pairwise([*arguments, ""]):
        name, given, value = argument.partition("=")
        if name in CONFIG_DIR:
            yield Path(value if given else following)


def _imports(arguments: Sequence[str]) -> Iterator[str]:
    """The elements of `imports=[…]`."""
    for override in _overrides(arguments, KEY):
        value = override.value()
        if not isinstance(value, list):
            raise ConfigError(KEY, override.get_value_element_as_str(), f"a list in brackets: {KEY}=[my_module]")
        yield from map(str, value)


def _presets(arguments: Sequence[str]) -> Iterator[str]:
    """The names in `experiment=NAME`, or in a sweep over several."""
    for override in _overrides(arguments, PRESETS):
        yield from override.sweep_string_iterator() if override.is_sweep_override() else [str(override.value())]


def _overrides(arguments: Sequence[str], key: str) -> Iterator[Override]:
    for argument in arguments:
        if argument.startswith(f"{key}="):
            with suppress(HydraException):  # Hydra says what is wrong with it
                yield OverridesParser.create().parse_override(argument)


def _of_presets(names: Iterator[str], folders: Sequence[Path]) -> Iterator[str]:
    for name in names:
        for folder in folders:
            path = folder / PRESETS / f"{name}.yaml"
            if not path.is_file():
                continue
            try:
                content = yaml.safe_load(path.read_text(encoding="utf-8"))
            except (yaml.YAMLError, UnicodeDecodeError):
                continue  # Hydra says what is wrong with it
            found = content.get(KEY) if isinstance(content, dict) else None
            yield from (str(one) for one in found or [])
