"""Errors a user can cause, as one sentence and an exit code in the place of a stack trace."""

import dataclasses
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from rql.config.hints import hint
from rql.config.launchers import missing_plugin
from rql.utils.errors import Preempted, RQLError

EXIT_CODE = 2
INTERRUPTED = 130
LIBRARIES = ("hydra.", "omegaconf.", "antlr4.")
SEARCHES = "a sweeper that searches takes interval(…), such as sweep=optuna; without one, type values or range(0, 10)"
REQUEUE = 85
"""The exit code of a run that was asked to end and can go on."""


def fail(message: str) -> NoReturn:
    """Print what is wrong and end the process."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(EXIT_CODE)


@contextmanager
def composition_errors_in_one_sentence() -> Iterator[None]:
    """Turn what Hydra and OmegaConf raise into one sentence; `HYDRA_FULL_ERROR=1` keeps the stack trace."""
    if os.environ.get("HYDRA_FULL_ERROR") == "1":
        yield
        return
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that Hydra lets its exceptions through to here
    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, _end) for number in (signal.SIGTERM, signal.SIGUSR1) if main}
    try:
        yield
    except RQLError:
        sys.exit(EXIT_CODE)  # a job of a sweep, which has said so itself
    except Preempted as stop:
        print(f"stopped by {stop}; the same command with the same folder, or resume=FOLDER, goes on", file=sys.stderr)
        sys.exit(REQUEUE)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:
            fail(f"{error.filename}: {error.strerror}; hydra.run.dir=FOLDER names another place for the run")
        if not is_about_composing(error):
            raise
        fail(explain(error))
    finally:
        del os.environ["HYDRA_FULL_ERROR"]
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, frame: FrameType | None) -> None:
    """Before a run has begun, and its own handlers, there is nothing to save."""
    raise Preempted(signal.Signals(number).name)


@contextmanager
def composition_errors_as_our_own() -> Iterator[None]:
    """Raise what Hydra and OmegaConf raise as an `RQLError` of one sentence."""
    try:
        yield
    except RQLError:
        raise
    except Exception as error:
        if not is_about_composing(error):
            raise
        raise RQLError(explain(error)) from error


def is_about_composing(error: Exception) -> bool:
    """Whether an exception is Hydra's or OmegaConf's: of their classes, or any other that their code raises."""
    if isinstance(error, HydraException | OmegaConfBaseException):
        return True
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__")).startswith(LIBRARIES)


def explain(error: Exception) -> str:
    """What Hydra or OmegaConf raised, in one sentence."""
    if "INTERVAL_SWEEP" in str(error):
        return f"{next((word for word in sys.argv if 'interval(' in word), 'interval(…)')} is not possible: {SEARCHES}"
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    if "RecursionError" in str(error):
        key = getattr(cause, "full_key", None) or "a value"
        left_out = "; hydra.job.config.override_dirname.exclude_keys=[KEY] leaves a key out of it"
        return f"{key} refers to itself" + (left_out if key == "hydra.job.override_dirname" else "")
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        text = f"{cause.full_key}: {str(cause.msg).splitlines()[0]}"
        first, *rest = str(error).splitlines()
        if rest and first.startswith("Error merging override"):
            text = f"{first.removeprefix('Error merging override ')}: {str(cause.msg).splitlines()[0]}"
        return text + _allowed_keys(cause)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    searched = next((i for i, line in enumerate(lines) if line.startswith("Config search path")), len(lines))
    text = " ".join(lines[:searched])
    return text + missing_plugin(text)


def _allowed_keys(error: OmegaConfBaseException) -> str:
    if "not in" not in str(error.msg):
        return ""
    if not dataclasses.is_dataclass(error.object_type):
        return f"; +{error.full_key}=… adds it"
    meant = hint(str(error.full_key), error.parent_node._get_root()) if error.parent_node is not None else ""
    return f".{meant} Its keys are: {', '.join(field.name for field in dataclasses.fields(error.object_type))}"
