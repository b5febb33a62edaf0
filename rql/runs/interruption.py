"""Signals that ask a run to end: from a scheduler that preempts it, or from a keyboard."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from rql.utils.errors import Preempted

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
PREEMPTION = signal.SIGUSR2
"""Caught where someone else handles it: submitit puts a preempted job back into Slurm's queue with it."""


class Interruption:
    """Catches the signals. Outside of `deferred` they raise `Preempted`; inside they wait for `check`.

    At the end `PREEMPTION` is handed on to who handled it before.
    """

    def __init__(self) -> None:
        self.requested: str | None = None
        self._deferred, self._process = False, os.getpid()
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            numbers = (*SIGNALS, PREEMPTION) if callable(signal.getsignal(PREEMPTION)) else SIGNALS
            self._before = {number: signal.signal(number, self._handle) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self.requested == PREEMPTION.name:
            signal.raise_signal(PREEMPTION)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """A time in which nothing may be cut off at any place; it should call `check` where it may."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    def check(self) -> None:
        """Stop here if a signal has come.

        Raises:
            Preempted: if one has.
        """
        if self.requested:
            raise Preempted(self.requested)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            return  # a process that was forked before it chose what to do with signals
        again, self.requested = self.requested, signal.Signals(number).name
        if again or not self._deferred:
            raise Preempted(self.requested)
