"""Errors a user can cause, as one sentence and an exit code in the place of a stack trace."""

import dataclasses
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from rql.config.launchers import missing_plugin
from rql.utils.errors import Preempted, RQLError

EXIT_CODE = 2
INTERRUPTED = 130
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
    except (HydraException, OmegaConfBaseException) as error:
        fail(explain(error))
    except OSError as error:
        if error.filename is None:
            raise
        fail(f"{error.filename}: {error.strerror}; hydra.run.dir=FOLDER names another place for the run")
    except Preempted as stop:
        print(f"stopped by {stop}; the same command with the same folder, or resume=FOLDER, goes on", file=sys.stderr)
        sys.exit(REQUEUE)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    finally:
        del os.environ["HYDRA_FULL_ERROR"]
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, frame: FrameType | None) -> None:
    """Before a run has begun, and its own handlers, there is nothing to save."""
    raise Preempted(signal.Signals(number).name)


def explain(error: Exception) -> str:
    """What Hydra or OmegaConf raised, in one sentence."""
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
    return ". Its keys are: " + ", ".join(field.name for field in dataclasses.fields(error.object_type))
