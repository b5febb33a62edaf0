"""What the commands share: arguments, and errors in one sentence."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from hydra import compose
from hydra._internal.utils import get_args_parser

from rql.config.explain import INTERRUPTED, composition_errors_as_our_own, fail
from rql.config.files import composing
from rql.utils.errors import RQLError


class Parser(argparse.ArgumentParser):
    """Says what is wrong with the arguments in one sentence, without the usage."""

    def error(self, message: str) -> NoReturn:
        """Print it and end the process."""
        fail(message)


def answers_help(options: argparse.Namespace, config_name: str) -> bool:
    """Print the help of a command that Hydra composes if the arguments ask for it; whether they do.

    Hydra's own `--help` lists all groups first, shown or not, which takes seconds.
    """
    asked = [name for name in ("run", "multirun", "cfg", "info", "shell_completion") if getattr(options, name)]
    if len(asked) > 1:
        fail(" and ".join(f"--{name.replace('_', '-')}" for name in asked) + " cannot be given together")
    if not options.help:
        return False
    with composition_errors_as_our_own(), composing(options.config_dir):
        print(compose(config_name, return_hydra_config=True).hydra.help.template)
    return True


def hydra_flags(arguments: Sequence[str]) -> argparse.Namespace:
    """Overrides, and flags such as `--config-dir`, as Hydra takes them."""
    flags = get_args_parser()
    flags.error = fail  # type: ignore[method-assign]
    return flags.parse_args(arguments)


@contextmanager
def errors_in_one_sentence() -> Iterator[None]:
    """Turn what a user can put right into one sentence and an exit code."""
    try:
        yield
    except (RQLError, OSError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)


def positive(text: str) -> int:
    """A whole number above 0, for `add_argument(type=…)`."""
    return _at_least(1, text)


def natural(text: str) -> int:
    """A whole number, 0 or above, for `add_argument(type=…)`."""
    return _at_least(0, text)


def check_new(path: Path) -> None:
    """Refuse a file that is there.

    Raises:
        RQLError: if it is there, or its folder is not.
    """
    if path.exists():
        raise RQLError(f"{path} is there already; name another file, or delete it first")
    if not path.parent.is_dir():
        raise RQLError(f"{path} cannot be written: there is no folder {path.parent}")


def _at_least(least: int, text: str) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text} is no whole number of at least {least}")
    return int(text)
