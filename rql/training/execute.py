"""How updates are executed: as they are written, or compiled for this machine."""

import logging
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from rql.agents.base import Noise, Update
from rql.config.choices import Compile
from rql.data.batch import Batch
from rql.optim.adam import Metrics
from rql.training.graphs import CapturedUpdate
from rql.utils.errors import RQLError
from rql.utils.files import user_cache

COMPILED_FROM = 10_000
"""Updates of a stage from which `compile=auto` compiles them: from about here a minute of compiling repays, and less
once the cache holds what was compiled. It knows neither clock nor cache, so that the same command gives the same run.
"""
CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"
logger = logging.getLogger(__name__)


class Executor:
    """Executes the updates of a stage."""

    def __init__(self, cycle: Sequence[Update[Any]], compile: Compile, updates: float) -> None:
        """`cycle` are the updates of the stage, taken in turn, of which there will be `updates`."""
        self._cycle, self._compile = tuple(cycle), compile
        self.compiled = compile is Compile.on or (compile is Compile.auto and updates >= COMPILED_FROM)
        self.compile_seconds = 0.0
        """Seconds spent on compiling, in this process."""
        self._ready: dict[tuple[Any, ...], Update[Any]] = {}

    def update(self, number: int, state: Any, batch: Batch, noise: Noise, hparams: Any) -> tuple[Any, Metrics]:
        """What update `number` of the stage gives. On a GPU the next update overwrites the state that it gives.

        Raises:
            RQLError: with `compile=on`, if an update cannot be compiled.
        """
        place = number % len(self._cycle)
        if not self.compiled:
            return self._cycle[place](state, batch, noise, hparams)
        # what is drawn lies in memory now like this and now like that, for each of which it would be compiled anew
        batch = pytree.tree_map(Tensor.contiguous, batch)
        variant = place, *noise, *(value is None for value in hparams)  # as where a term of the loss is off by now
        if variant not in self._ready:
            return self._first(variant, state, batch, noise, hparams)
        return self._ready[variant](state, batch, noise, hparams)

    def saved_state(self) -> bool:
        """Whether updates are compiled."""
        return self.compiled

    def load(self, saved: bool) -> None:
        """Go on from `saved_state`: as before, for the results differ in the last bits, unless the configuration says
        how.
        """
        if self._compile is Compile.auto:
            self.compiled = saved

    def _first(self, variant: tuple[Any, ...], *arguments: Any) -> tuple[Any, Metrics]:
        """Compile an update, which happens as it is called."""
        os.environ.setdefault(CACHE_VARIABLE, str(user_cache("rql-compiled")))
        logger.info("compiling an update; it takes up to a minute, and seconds where it was compiled before")
        began = time.monotonic()
        ready: Update[Any] = torch.compile(self._cycle[variant[0]], fullgraph=True, dynamic=False)
        try:
            if _on_gpu(arguments):
                ready = CapturedUpdate(ready, *arguments)
            result = ready(*arguments)
        except Exception as error:  # of the tracer, the code generator, or the C++ compiler
            return self._without(error, variant[0], *arguments)
        self.compile_seconds += time.monotonic() - began
        self._ready[variant] = ready
        return result

    def _without(self, error: Exception, place: int, *arguments: Any) -> tuple[Any, Metrics]:
        result = self._cycle[place](*arguments)  # an error of the update itself is its own
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        if self._compile is Compile.on:
            raise RQLError(f"compile=on: an update cannot be compiled: {reason}") from error
        logger.warning("updates are not compiled: %s", reason)
        self.compiled = False
        return result


def _on_gpu(arguments: tuple[Any, ...]) -> bool:
    return any(isinstance(leaf, Tensor) and leaf.is_cuda for leaf in pytree.tree_leaves(arguments))


def forget_compiled() -> None:
    """Drop what the runs before this one compiled in this process: of a function, eight variants are kept at most."""
    if "torch._dynamo" in sys.modules:  # which takes seconds to import
        torch.compiler.reset()
