"""Vectorised environments that may fail: whatever goes wrong is one exception, and they can always be closed."""

import ctypes
import logging
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import gymnasium
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from rql.config.choices import Vectorization
from rql.config.data import EnvConfig

AnyEnv = gymnasium.Env[Any, Any]
T = TypeVar("T")
PR_SET_PDEATHSIG = 1
POLL = 0.2
"""Seconds between two looks for a signal while an environment does not answer."""
logger = logging.getLogger(__name__)


ALIKE = 3
"""Failures with the same words after the same number of steps that are no chance; before the first step they are, for
one step of each environment was made before any work.
"""


class EnvFailedError(Exception):
    """An environment raised, its process ended, or it did not answer within `env.step_timeout` seconds."""

    steps = 0
    """That had been made before."""


class Failures:
    """Counts the failures of environments that are made anew each time."""

    def __init__(self, config: EnvConfig) -> None:
        self.count, self._most = 0, config.max_restarts
        self._last, self._alike = ("", 0), 0

    def add(self, error: EnvFailedError) -> str | None:
        """Count one; why there is no point in another attempt, or None where there is."""
        self.count += 1
        this = (str(error), error.steps)
        self._alike, self._last = self._alike + 1 if this == self._last else 1, this
        if self.count > self._most:
            return f"{self.count} times, more than env.max_restarts={self._most}; the last time with {error}"
        if error.steps and self._alike >= ALIKE:
            return f"{self._alike} times in a row after {error.steps:,} steps, always with {error}"
        return None


class GuardedEnvs:
    """`count` environments side by side, in this process or in one each."""

    def __init__(
        self,
        config: EnvConfig,
        count: int,
        autoreset: AutoresetMode,
        make: Callable[[int], AnyEnv],
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """`make(i)` is environment i; `check` is called while one is waited for, and may raise."""
        self.num_envs, self._config, self._check, self._steps = count, config, check, 0
        each = [partial(_made, make, index, os.getpid()) for index in range(count)]
        cls = SyncVectorEnv if config.vectorization is Vectorization.sync else AsyncVectorEnv
        self._envs: SyncVectorEnv | AsyncVectorEnv = cls(each, autoreset_mode=autoreset)
        self._sent: Any = None
        self._broken: Exception | None = None

    def reset(self, seed: Any, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin episodes, as `VectorEnv.reset` does.

        Raises:
            EnvFailedError: if one of them failed.
        """

        def work() -> tuple[Any, dict[str, Any]]:
            if isinstance(self._envs, SyncVectorEnv):
                return self._envs.reset(seed=seed, options=options)
            self._envs.reset_async(seed=seed, options=options)
            self._wait(self._envs)
            return self._envs.reset_wait()

        return self._guarded(work)

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """One step of each, as `VectorEnv.step` does.

        Raises:
            EnvFailedError: if one of them failed.
        """
        self.send(action)
        return self.receive()

    def send(self, action: Any) -> None:
        """Have each begin a step, in a process of its own if it has one; whatever goes wrong, `receive` says it."""
        self._sent, self._broken = action, None
        if isinstance(self._envs, AsyncVectorEnv):
            try:
                self._envs.step_async(action)
            except Exception as error:  # of the pipe to a process that has ended
                self._broken = error

    def receive(self) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """What the steps that were begun brought, as `VectorEnv.step` gives it.

        Raises:
            EnvFailedError: if one of them failed.
        """

        def work() -> tuple[Any, Any, Any, Any, dict[str, Any]]:
            if self._broken is not None:
                raise self._broken
            if isinstance(self._envs, SyncVectorEnv):
                return self._envs.step(self._sent)
            self._wait(self._envs)
            return self._envs.step_wait()

        made = self._guarded(work)
        self._steps += 1
        return made

    def call(self, name: str, *arguments: Any) -> tuple[Any, ...]:
        """What a method of each returns.

        Raises:
            EnvFailedError: if one of them failed.
        """

        def work() -> tuple[Any, ...]:
            if isinstance(self._envs, SyncVectorEnv):
                return tuple(self._envs.call(name, *arguments))
            self._envs.call_async(name, *arguments)
            self._wait(self._envs)
            return tuple(self._envs.call_wait())

        return self._guarded(work)

    def close(self) -> None:
        """End all of them, whatever they are doing."""
        if isinstance(self._envs, AsyncVectorEnv):
            # its own way of closing waits for an answer, and for processes that heed SIGTERM
            for process, pipe in zip(self._envs.processes, self._envs.parent_pipes, strict=True):
                process.kill()
                process.join()
                if pipe is not None:
                    pipe.close()
            self._envs.closed = True
        else:
            self._envs.close()

    def _wait(self, envs: AsyncVectorEnv) -> None:
        """Until each has answered; its answer may be that it raised."""
        until = time.monotonic() + self._config.step_timeout
        pipes: list[Connection] = [pipe for pipe in envs.parent_pipes if pipe is not None]
        for pipe in pipes:
            while not pipe.poll(POLL):
                self._check()
                if time.monotonic() > until:
                    raise EnvFailedError(f"no answer within env.step_timeout={self._config.step_timeout:g} seconds")

    def _guarded(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except EnvFailedError as error:
            error.steps = self._steps
            raise
        except Exception as error:  # whatever an environment raises, or the pipe to its process
            what = (str(error).strip() or "no reason given").splitlines()[0]
            failed = EnvFailedError(f"{type(error).__name__}: {what}")
            failed.steps = self._steps
            raise failed from error


def _made(make: Callable[[int], AnyEnv], index: int, run: int) -> AnyEnv:
    if os.getpid() != run:
        _follow_parent()
    return make(index)


def _follow_parent() -> None:
    """Leave signals to the parent, which saves the state of its environments first, and end when it does."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    except (OSError, AttributeError):
        logger.debug("processes of environments outlive a killed run on this system")
