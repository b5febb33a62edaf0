"""Policies that live in a process of their own, with a Python and packages of their own.

The program reads requests from its standard input and answers each with one line on its standard output; both are JSON.
At first it says what it is. docs/how-to/priors.md has the protocol, and examples/serve_policy.py speaks it.
"""

import hashlib
import json
import logging
import os
import selectors
import signal
import subprocess
import time
from contextlib import suppress
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from rql.config.priors import ProcessPriorConfig
from rql.envs.spaces import Spaces
from rql.priors.base import Prior, PriorError, Slots, nothing
from rql.utils.errors import ConfigError

PROTOCOL = 1
GRACE = 5.0
"""Seconds that a process has to end after it closed its side."""
SHOWN = 80
"""Characters of a wrong answer that an error quotes."""
logger = logging.getLogger(__name__)
Answer = dict[str, Any]


def open_process(config: ProcessPriorConfig, spaces: Spaces, env: gymnasium.Env[Any, Any]) -> Prior:
    """The prior of `prior=process`.

    Raises:
        PriorError: if the program does not start, or does not say what it is.
    """
    served = Served(config)
    hello = served.start()
    stochastic, stateful = (bool(hello.get(name, False)) for name in ("stochastic", "stateful"))
    served.may_restart = not stateful
    given = hello.get("digest")
    digest = hashlib.sha256(f"{config.command} {given}".encode()).hexdigest() if given else ""
    return Prior(
        name=str(hello.get("name", config.command)),
        digest=digest,
        sample=served.sample,
        reset=served.reset if stateful else nothing,
        chunk=served.number("chunk", hello.get("chunk", 1)),
        stochastic=stochastic,
        stateful=stateful,
        close=served.stop,
    )


class Served:
    """The process, started anew where it fails and has no memory that would be lost."""

    def __init__(self, config: ProcessPriorConfig) -> None:
        self._config, self.may_restart, self._restarts = config, False, 0
        self._process: subprocess.Popen[bytes] | None = None
        self._hello: Answer | None = None
        self._rest = b""

    def start(self) -> Answer:
        """Start it; what it says of itself.

        Raises:
            ConfigError: if it speaks another protocol.
            PriorError: if it does not start, or says something else than when it was started before.
        """
        self._rest = b""
        self._process = subprocess.Popen(
            self._config.command,
            shell=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # a signal to the run is not one to it, and all of it can be ended
        )
        try:
            hello = self._answer(self._until())
            if hello.get("protocol") != PROTOCOL:
                allowed = f"a program that begins with {{'protocol': {PROTOCOL}, …}}, and this one says {hello}"
                raise ConfigError("prior.command", self._config.command, allowed)
            if self._hello not in (None, hello):
                raise PriorError(f"{self._named} was started anew and is another: {hello} after {self._hello}")
        except BaseException:  # a signal too: the process would outlive it
            self.stop()
            raise
        self._hello = hello
        return hello

    def number(self, name: str, given: Any) -> int:
        """What it says of itself as a number from 1 on.

        Raises:
            PriorError: if it is none; the process is ended.
        """
        if not isinstance(given, int) or given < 1:
            self.stop()
            raise PriorError(f"{self._named} says of itself {name}={given!r}, and a number from 1 on is needed")
        return given

    def sample(self, obs: NDArray[np.float32], n: int, rng: np.random.Generator, slots: Slots) -> Any:
        """n actions for each observation, as `Prior.sample`."""
        asked = {"obs": obs.tolist(), "n": n, "seed": int(rng.integers(2**31)), "slots": slots.tolist()}
        answer = self._ask({"sample": asked})
        if "actions" not in answer:
            raise PriorError(f"{self._named} answers {_quoted(answer)}, which holds no actions")
        return answer["actions"]

    def reset(self, slots: Slots) -> None:
        """Tell it that episodes begin."""
        self._ask({"reset": slots.tolist()})

    def stop(self) -> None:
        """End it, with all that it started."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    @property
    def _named(self) -> str:
        return f"the policy of prior.command={self._config.command}"

    def _ask(self, request: Answer) -> Answer:
        while True:
            try:
                if self._process is None:
                    self.start()
                return self._asked(request)
            except PriorError as error:
                self.stop()
                if not self.may_restart or self._restarts >= self._config.max_restarts:
                    raise
                self._restarts += 1
                logger.warning("%s; restart %d", error, self._restarts)

    def _asked(self, request: Answer) -> Answer:
        until = self._until()
        self._write(json.dumps(request).encode() + b"\n", until)
        answer = self._answer(until)
        if "error" in answer:
            raise PriorError(f"{self._named} says: {answer['error']}")
        return answer

    def _ended(self, process: "subprocess.Popen[bytes]") -> PriorError:
        """What to say of a process that closed its side."""
        try:
            return PriorError(f"{self._named} ended with exit code {process.wait(min(GRACE, self._config.timeout))}")
        except subprocess.TimeoutExpired:
            return PriorError(f"{self._named} closed its standard output")

    def _until(self) -> float:
        return time.monotonic() + self._config.timeout

    def _wait(self, selector: selectors.BaseSelector, until: float) -> None:
        """Until the pipe of a selector is ready."""
        if not selector.select(max(0.0, until - time.monotonic())):
            within = f"within prior.timeout={self._config.timeout:g} seconds"
            raise PriorError(f"{self._named} does not answer {within}")

    def _write(self, line: bytes, until: float) -> None:
        process = self._process
        assert process is not None and process.stdin is not None
        pipe, rest = process.stdin.fileno(), memoryview(line)
        os.set_blocking(pipe, False)  # it may never read
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_WRITE)
            while rest:
                self._wait(selector, until)
                try:
                    rest = rest[os.write(pipe, rest) :]
                except OSError as error:
                    raise self._ended(process) from error

    def _answer(self, until: float) -> Answer:
        """The next line of it, as JSON."""
        line = self._line(until)
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise PriorError(f"{self._named} answers {_quoted(line.decode(errors='replace'))}, which is no JSON object")
        return answer

    def _line(self, until: float) -> bytes:
        process = self._process
        assert process is not None and process.stdout is not None
        parts = [self._rest]
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while b"\n" not in parts[-1]:
                self._wait(selector, until)
                part = os.read(process.stdout.fileno(), 1 << 20)
                if not part:
                    raise self._ended(process)
                parts.append(part)
        line, _, self._rest = b"".join(parts).partition(b"\n")
        return line


def _quoted(answer: Any) -> str:
    text = str(answer)
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}…")
