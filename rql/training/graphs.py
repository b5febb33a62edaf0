"""Compiled updates as CUDA graphs: what was a hundred launches is one, and small networks wait for launches alone."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from rql.agents.base import Noise, Update
from rql.data.batch import Batch
from rql.optim.adam import Metrics

WARMUP = 3
"""Calls before the recording, in which kernels are compiled and libraries choose theirs."""


class CapturedUpdate:
    """An update whose kernels were recorded once and are run again as they were.

    They read and write the same memory every time. So what is given is copied to where they read, and the state that an
    update gives is overwritten by the next: whoever keeps a state for longer copies it.
    """

    def __init__(self, update: Update[Any], *arguments: Any) -> None:
        """Record an update with arguments like the (state, batch, noise, hparams) of the calls to come."""
        self._arguments = pytree.tree_map_only(Tensor, Tensor.clone, arguments)
        aside: Any = torch.Stream("cuda")
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARMUP):
                update(*self._arguments)
        torch.cuda.current_stream().wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            state, metrics = update(*self._arguments)
            _copy(list(_changed(self._arguments[0], state)))
            self._names, self._values = tuple(metrics), torch.stack([value.float() for value in metrics.values()])

    def __call__(self, state: Any, batch: Batch, noise: Noise, hparams: Any) -> tuple[Any, Metrics]:
        """What the update gives."""
        _copy(list(_changed(self._arguments, (state, batch, noise, hparams))))
        self._graph.replay()
        return self._arguments[0], dict(zip(self._names, self._values.clone().unbind(), strict=True))


def _changed(kept: Any, given: Any) -> Iterator[tuple[Tensor, Tensor]]:
    """Tensors of a tree and what they are in another, where it is another one."""
    if given is kept:
        return
    if isinstance(kept, Tensor):
        yield kept, given
    elif isinstance(kept, dict):
        for name, value in kept.items():
            yield from _changed(value, given[name])
    elif isinstance(kept, tuple):
        for one, other in zip(kept, given, strict=True):
            yield from _changed(one, other)


def _copy(pairs: list[tuple[Tensor, Tensor]]) -> None:
    if pairs:
        into, values = zip(*pairs, strict=True)
        torch._foreach_copy_(into, values)
