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
from rql.priors.base import Prior, PriorError, Slots
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
    digest = hashlib.sha256(f"{config.command} {hello.get('digest', '')}".encode()).hexdigest()
    name = str(hello.get("name", config.command))
    return Prior(name, digest, served.sample, served.reset, stochastic=stochastic, stateful=stateful, close=served.stop)


class Served:
    """The process, started anew where it fails and has no memory that would be lost."""

    def __init__(self, config: ProcessPriorConfig) -> None:
        self._config, self.may_restart, self._restarts = config, False, 0
        self._process: subprocess.Popen[bytes] | None = None
        self._rest = b""

    def start(self) -> Answer:
        """Start it; what it says of itself.

        Raises:
            ConfigError: if it speaks another protocol.
            PriorError: if it does not start.
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
            hello = self._answer()
        except PriorError:
            self.stop()
            raise
        if hello.get("protocol") != PROTOCOL:
            self.stop()
            allowed = f"a program that begins with {{'protocol': {PROTOCOL}, …}}, and this one says {hello}"
            raise ConfigError("prior.command", self._config.command, allowed)
        return hello

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
                return self._asked(request)
            except PriorError as error:
                self.stop()
                if not self.may_restart or self._restarts >= self._config.max_restarts:
                    raise
                self._restarts += 1
                logger.warning("%s; restart %d", error, self._restarts)
                self.start()

    def _asked(self, request: Answer) -> Answer:
        process = self._process
        assert process is not None and process.stdin is not None
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
        except OSError as error:
            raise self._ended(process) from error
        answer = self._answer()
        if "error" in answer:
            raise PriorError(f"{self._named} says: {answer['error']}")
        return answer

    def _ended(self, process: "subprocess.Popen[bytes]") -> PriorError:
        """What to say of a process that closed its side."""
        try:
            return PriorError(f"{self._named} ended with exit code {process.wait(GRACE)}")
        except subprocess.TimeoutExpired:
            return PriorError(f"{self._named} closed its standard output")

    def _answer(self) -> Answer:
        """The next line of it, as JSON."""
        line = self._line()
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise PriorError(f"{self._named} answers {_quoted(line.decode(errors='replace'))}, which is no JSON object")
        return answer

    def _line(self) -> bytes:
        process = self._process
        assert process is not None and process.stdout is not None
        until, parts = time.monotonic() + self._config.timeout, [self._rest]
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while b"\n" not in parts[-1]:
                if not selector.select(max(0.0, until - time.monotonic())):
                    within = f"within prior.timeout={self._config.timeout:g} seconds"
                    raise PriorError(f"{self._named} does not answer {within}")
                part = os.read(process.stdout.fileno(), 1 << 20)
                if not part:
                    raise self._ended(process)
                parts.append(part)
        line, _, self._rest = b"".join(parts).partition(b"\n")
        return line


def _quoted(answer: Any) -> str:
    text = str(answer)
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}…")
