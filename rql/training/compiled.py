"""An update as machine code: traced to the operations that it is made of, which Inductor compiles."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx
from torch._inductor import compile as compile_graph
from torch._inductor import config as inductor
from torch.fx.experimental.proxy_tensor import make_fx

from rql.agents.base import Update
from rql.utils.tree import leaves_of, map_leaves

OPTIONS: dict[str, Any] = {
    "cpp.enable_tiling_heuristics": False,  # which leave loops over three action dimensions to scalar code
    "cpp.enable_floating_point_contract_flag": "fast",  # a product and a sum in one instruction, rounded once
}
ON_CPU: dict[str, Any] = {"cpp_wrapper": True}
"""Calls between kernels are C++ too. On a GPU they are recorded in any case."""


class Traced(NamedTuple):
    """The operations of an update."""

    graph: fx.GraphModule
    """Of tensors that overwrites those of the state, which come first, and gives the metrics, [(n,)]."""
    metrics: tuple[str, ...]
    """Their names."""


def tensors_of(*trees: Any) -> list[Tensor]:
    """The tensors of trees, in their order."""
    return [leaf for leaf in leaves_of(trees) if leaf is not None]


def trace(update: Update[Any], *arguments: Any) -> Traced:
    """The operations of an update for arguments like the (state, batch, noise, hparams) of the calls to come."""
    names: list[str] = []

    def flat(*tensors: Tensor) -> list[Tensor]:
        given = iter(tensors)
        state, *others = map_leaves(lambda leaf: leaf if leaf is None else next(given), arguments)
        following, metrics = update(state, *others)
        names[:] = metrics
        values = [value.detach().float() for value in metrics.values()]
        values = [torch.stack(values)] if values else []
        _overwrite(leaves_of(state), leaves_of(following))
        return values

    apart = [tensor.clone() for tensor in tensors_of(*arguments)]  # one that is there twice would be seen once
    with torch.no_grad():
        graph = make_fx(flat, tracing_mode="fake", _allow_non_fake_inputs=True)(*apart)
    return Traced(graph, tuple(names))


class CompiledUpdate:
    """An update as one call. It overwrites the state that it is given."""

    def __init__(self, traced: Traced, tensors: Sequence[Tensor]) -> None:
        """Compile what was traced with these tensors."""
        options = OPTIONS | (ON_CPU if all(tensor.device.type == "cpu" for tensor in tensors) else {})
        known = inductor.get_config_copy()  # an option that another version of torch lacks would be an error
        with torch.no_grad():
            self._run: Any = compile_graph(
                traced.graph, list(tensors), options={name: options[name] for name in options if name in known}
            )

    def __call__(self, state: Sequence[Tensor], others: Sequence[Tensor]) -> Tensor | None:
        """Overwrite the tensors of the state; the metrics, (n,), if there are any."""
        values: list[Tensor] = self._run(*state, *others)
        return values[0] if values else None


def _overwrite(before: Sequence[Tensor], after: Sequence[Tensor]) -> None:
    """Write a state over the one before."""
    memory = {tensor.untyped_storage()._cdata for tensor in before}
    changed = [(old, new) for old, new in zip(before, after, strict=True) if new is not old]
    # what is a part of the state before is copied while it is still what it was
    apart = [new.clone() if new.untyped_storage()._cdata in memory else new for _, new in changed]
    for (old, _), new in zip(changed, apart, strict=True):
        old.copy_(new)
