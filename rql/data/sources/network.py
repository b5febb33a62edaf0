"""Whether there is a network at all, asked once and briefly: who fetches data tries for half a minute."""

import importlib
import os
from threading import Thread
from typing import Any

PATIENCE = 3.0
"""Seconds to wait for an answer."""
REMOTE_VARIABLE, HUB = "MINARI_REMOTE", "hf://"
"""What names the place that Minari fetches from, and how those at Hugging Face begin, as the usual one does."""


def check_network() -> None:
    """Ask where Minari's data sets lie for a sign of life.

    Raises:
        ConnectionError: if there is none; whatever the answer says is for others to read.
        ImportError: if what asks is not installed.
    """
    if not os.environ.get(REMOTE_VARIABLE, HUB).startswith(HUB):
        return
    http, hub = (importlib.import_module(f"huggingface_hub.{name}") for name in ("utils", "constants"))
    failed = [f"no answer within {PATIENCE:g} seconds"]
    asking = Thread(target=_ask, args=(http, hub.ENDPOINT, failed), daemon=True)  # to look up a name heeds no limit
    asking.start()
    asking.join(PATIENCE)
    if failed:
        raise ConnectionError(failed[0])


def _ask(http: Any, place: str, failed: list[str]) -> None:
    try:
        http.get_session().head(place, timeout=PATIENCE)
    except Exception as error:  # of whichever client it is
        failed[:] = [f"{place}: {str(error) or type(error).__name__}"]
    else:
        failed.clear()
