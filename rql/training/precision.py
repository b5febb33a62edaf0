"""Whether products of hidden units are faster in bfloat16 on this machine."""

import time

import torch
from torch import Tensor, fx

LARGE = 2**23
"""Multiplications in a product from which it is tried: 256 × 181 × 181. In smaller ones other work counts for more."""
FASTER_BY = 2.0
"""How much faster bfloat16 has to be. Units for it make it several times as fast, and without them it is slower, so
that the choice is the same each time.
"""
ROUNDS = 5
PRODUCTS = {torch.ops.aten.mm.default, torch.ops.aten.bmm.default}


def bfloat16_pays(graph: fx.GraphModule) -> bool:
    """Whether the largest product in bfloat16 of an update is faster than it would be in float32."""
    products = [operands for node in graph.graph.nodes if (operands := _operands(node))]
    largest = max(products, key=_multiplications, default=None)
    if largest is None or _multiplications(largest) < LARGE:
        return False
    return FASTER_BY * _seconds(largest, torch.bfloat16) < _seconds(largest, torch.float32)


def _operands(node: fx.Node) -> tuple[Tensor, Tensor] | None:
    """What is multiplied, without its numbers, where a node is a product in bfloat16."""
    if node.target not in PRODUCTS:
        return None
    left, right = (argument.meta["val"] for argument in node.args if isinstance(argument, fx.Node))
    return (left, right) if left.dtype == torch.bfloat16 else None


def _multiplications(operands: tuple[Tensor, Tensor]) -> int:
    """Of one member of an ensemble, for its members are multiplied one by one."""
    left, right = operands
    return int(left.shape[-2] * left.shape[-1] * right.shape[-1])


def _seconds(operands: tuple[Tensor, Tensor], dtype: torch.dtype) -> float:
    """The shortest time of a product like that of the operands."""
    left, right = (torch.randn(operand.shape, device=operand.device).to(dtype) for operand in operands)
    on_gpu, times = left.is_cuda, list[float]()
    for _ in range(ROUNDS):
        began = time.perf_counter()
        left @ right
        if on_gpu:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return min(times)
