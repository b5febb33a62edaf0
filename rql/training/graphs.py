"""Compiled updates as CUDA graphs: what was a hundred launches is one, and small networks wait for launches alone."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rql.training.compiled import CompiledUpdate

WARMUP = 3
"""Calls before the recording, in which kernels are compiled and libraries choose theirs."""


class CapturedUpdate:
    """An update whose kernels were recorded once and are run again as they were.

    They read and write the same memory every time: that of the state, and one of its own that all else is copied to.
    """

    def __init__(self, update: CompiledUpdate, state: Sequence[Tensor], others: Sequence[Tensor]) -> None:
        """Record an update of the state that lies here."""
        self._others = [tensor.clone() for tensor in others]
        before = [tensor.clone() for tensor in state]
        aside: Any = torch.Stream("cuda")
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARMUP):
                update(state, self._others)
        torch.cuda.current_stream().wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._values = update(state, self._others)
        torch._foreach_copy_(list(state), before)

    def __call__(self, state: Sequence[Tensor], others: Sequence[Tensor]) -> Tensor | None:
        """Overwrite the tensors of the state; the metrics, (n,), if there are any."""
        torch._foreach_copy_(self._others, list(others))
        self._graph.replay()
        return None if self._values is None else self._values.clone()
