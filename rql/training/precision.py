"""Whether products of hidden units are faster in bfloat16 on this machine."""

import time
from collections.abc import Sequence

import torch

from rql.training.operations import Factors

LARGE = 2**23
"""Multiplications in a product from which it is tried: 256 × 181 × 181. In smaller ones other work counts for more."""
FASTER_BY = 2.0
"""How much faster bfloat16 has to be. Units for it make it several times as fast, and without them it is slower, so
that the choice is the same each time.
"""
ROUNDS = 5


def bfloat16_pays(products: Sequence[Factors], device: torch.device) -> bool:
    """Whether the largest of these products is faster in bfloat16 than in float32."""
    largest = max(products, key=_multiplications, default=None)
    if largest is None or _multiplications(largest) < LARGE:
        return False
    return FASTER_BY * _seconds(largest, torch.bfloat16, device) < _seconds(largest, torch.float32, device)


def _multiplications(product: Factors) -> int:
    """Of one member of an ensemble, for its members are multiplied one by one."""
    left, right = product
    return int(left[-2] * left[-1] * right[-1])


def _seconds(product: Factors, dtype: torch.dtype, device: torch.device) -> float:
    """The shortest time of a product like this."""
    left, right = (torch.randn(shape, device=device).to(dtype) for shape in product)
    on_gpu, times = left.is_cuda, list[float]()
    for _ in range(ROUNDS):
        began = time.perf_counter()
        left @ right
        if on_gpu:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return min(times)
