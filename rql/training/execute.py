"""How updates are executed: as they are written, or compiled for this machine, and in which precision."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from rql.agents.base import Noise, Update
from rql.config.choices import Compile, Precision
from rql.data.batch import Batch
from rql.nn.linear import hidden_products_in
from rql.optim.adam import Metrics
from rql.utils.errors import RQLError
from rql.utils.tree import leaves_of, map_leaves

COMPILED_FROM = 2_000
"""Updates of a stage from which `compile=auto` compiles them: from about here twenty seconds of compiling repay. It
knows neither clock nor cache, so that the same command gives the same run.
"""
DTYPES = {Precision.auto: None, Precision.float32: torch.float32, Precision.bf16: torch.bfloat16}
logger = logging.getLogger(__name__)

Ready = tuple[Callable[[Sequence[Tensor], Sequence[Tensor]], Tensor | None], tuple[str, ...]]
"""A compiled update, and the names of its metrics."""


class Executor:
    """Executes the updates of a stage.

    Those that are compiled work on a copy of the first state they are given, which each of them overwrites: whoever
    keeps the state of an update for longer copies it.
    """

    def __init__(self, cycle: Sequence[Update[Any]], compile: Compile, precision: Precision, updates: float) -> None:
        """`cycle` are the updates of the stage, taken in turn, of which there will be `updates`."""
        self._cycle, self._compile = tuple(cycle), compile
        self.compiled = compile is Compile.on or (compile is Compile.auto and updates >= COMPILED_FROM)
        self.hidden = DTYPES[precision]
        """In which hidden layers multiply; None until it is known whether bfloat16 is faster."""
        self._precision = precision
        self.compile_seconds = 0.0
        """Seconds spent on compiling, in this process."""
        self._ready: dict[tuple[Any, ...], Ready] = {}
        self._state: Any = None
        self._tensors: list[Tensor] = []

    def update(self, number: int, state: Any, batch: Batch, noise: Noise, hparams: Any) -> tuple[Any, Metrics]:
        """What update `number` of the stage gives.

        Raises:
            RQLError: with `compile=on`, if an update cannot be compiled.
        """
        place = number % len(self._cycle)
        if not self.compiled:
            return self._as_written(place, state, batch, noise, hparams)
        present = [value for value in hparams if value is not None]  # a term of the loss may be off by now
        others = [leaf.contiguous() for leaf in (*batch[:-1], *batch.extra.values(), *noise.values(), *present)]
        variant = place, *noise, *(value is None for value in hparams), *[tensor.shape for tensor in others]
        self._hold(state)
        if variant not in self._ready:
            given = map_leaves(lambda leaf: leaf if leaf is None else leaf.contiguous(), (batch, noise, hparams))
            try:
                self._ready[variant] = self._made(self._cycle[place], self._state, *given)
            except Exception as error:  # of the tracer, the code generator, or the C++ compiler
                return self._without(error, place, state, batch, noise, hparams)
        run, names = self._ready[variant]
        values = run(self._tensors, others)
        return self._state, {} if values is None else dict(zip(names, values.unbind(), strict=True))

    @property
    def precision(self) -> Precision:
        """Of hidden layers, as far as it is known."""
        return Precision.bf16 if self.hidden == torch.bfloat16 else Precision.float32

    def saved_state(self) -> dict[str, bool | None]:
        """Whether updates are compiled, and whether hidden layers multiply in bfloat16, where that is known."""
        return {"compiled": self.compiled, "bf16": None if self.hidden is None else self.hidden == torch.bfloat16}

    def load(self, saved: dict[str, bool | None]) -> None:
        """Go on from `saved_state`: as before, for the results differ in the last bits, unless the configuration says
        how.
        """
        if self._compile is Compile.auto:
            self.compiled = bool(saved["compiled"])
        if self._precision is Precision.auto and saved["bf16"] is not None:
            self.hidden = torch.bfloat16 if saved["bf16"] else torch.float32

    def _as_written(self, place: int, *arguments: Any) -> tuple[Any, Metrics]:
        with hidden_products_in(self.hidden or torch.float32):
            return self._cycle[place](*arguments)

    def _made(self, update: Update[Any], *arguments: Any) -> Ready:
        """Compile an update."""
        from rql.training.compiled import CompiledUpdate
        from rql.training.graphs import CapturedUpdate
        from rql.training.operations import operations_of, tensors_of
        from rql.training.precision import bfloat16_pays

        began, device = time.monotonic(), self._tensors[0].device
        if self.hidden is None:
            with hidden_products_in(torch.bfloat16):
                products = operations_of(update, *arguments).bfloat16_products
            self.hidden = torch.bfloat16 if bfloat16_pays(products, device) else torch.float32
            if self.hidden == torch.bfloat16:
                logger.info("hidden layers multiply in bfloat16, which is faster here (precision=float32: they do not)")
        with hidden_products_in(self.hidden):
            operations = operations_of(update, *arguments)
            compiled = CompiledUpdate(update, operations, *arguments)
        run = CapturedUpdate(compiled, self._tensors, tensors_of(*arguments[1:])) if device.type == "cuda" else compiled
        self.compile_seconds += time.monotonic() - began
        return run, operations.metrics

    def _hold(self, state: Any) -> None:
        """Have the state where compiled updates read and write it."""
        if self._state is None:
            self._state = map_leaves(lambda leaf: leaf.clone(memory_format=torch.contiguous_format), state)
            self._tensors = leaves_of(self._state)
        elif state is not self._state:
            changed = [
                (ours, new) for ours, new in zip(self._tensors, leaves_of(state), strict=True) if new is not ours
            ]
            if changed:
                into, new = zip(*changed, strict=True)
                torch._foreach_copy_(into, new)

    def _without(self, error: Exception, place: int, *arguments: Any) -> tuple[Any, Metrics]:
        result = self._as_written(place, *arguments)  # an error of the update itself is its own
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        if self._compile is Compile.on:
            raise RQLError(f"compile=on: an update cannot be compiled: {reason}") from error
        logger.warning("updates are not compiled: %s", reason)
        self.compiled = False
        return result
