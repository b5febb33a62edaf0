"""Linear layers, alone and as an ensemble, and the precision in which those between hidden units multiply.

Parameters, gradients and what a network gives are always float32. Where `hidden_products_in(torch.bfloat16)` says so,
hidden units and the products between them have 8 bits, and what enters a network has 16.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Product = Callable[[Tensor, Tensor], Tensor]
"""(…, rows, inputs) and (…, inputs, outputs) → (…, rows, outputs)."""
LinearLayer = Callable[[int, int, Product], nn.Module]
"""(inputs, outputs, the product of its place in the network) → a layer."""

_hidden = torch.float32


@contextmanager
def hidden_products_in(dtype: torch.dtype) -> Iterator[None]:
    """A time in which hidden units have a dtype, float32 or bfloat16."""
    global _hidden
    before, _hidden = _hidden, dtype
    try:
        yield
    finally:
        _hidden = before


def input_product(x: Tensor, weight: Tensor) -> Tensor:
    """Of what enters a network. It is split into what 8 bits hold of it and what they hold of the rest."""
    if _hidden == torch.float32:
        return x @ weight
    high = x.to(_hidden)
    both, lowered = torch.cat([high, (x - high).to(_hidden)], dim=-1), weight.to(_hidden)
    return both @ torch.cat([lowered, lowered], dim=-2)


def hidden_product(x: Tensor, weight: Tensor) -> Tensor:
    """Of hidden units, for hidden units."""
    return x.to(_hidden) @ weight.to(_hidden)


def output_product(x: Tensor, weight: Tensor) -> Tensor:
    """Of hidden units, for what a network gives: in float32."""
    if x.dtype != weight.dtype and weight.shape[-1] == 1:
        return (x * weight.mT).sum(-1, keepdim=True)  # which does not store x as float32
    return x.to(weight.dtype) @ weight


class Linear(nn.Linear):
    """A linear layer, (..., rows, inputs) → (..., rows, outputs)."""

    def __init__(self, inputs: int, outputs: int, product: Product) -> None:
        """`product` is that of its place in the network."""
        super().__init__(inputs, outputs)
        self._product = product

    def forward(self, x: Tensor) -> Tensor:
        """(..., rows, inputs) → (..., rows, outputs)."""
        product = self._product(x, self.weight.mT)
        return product + self.bias.to(product.dtype)


class EnsembleLinear(nn.Module):
    """`size` linear layers side by side: (size, rows, inputs) → (size, rows, outputs)."""

    def __init__(self, size: int, inputs: int, outputs: int, product: Product = output_product) -> None:
        """`product` is that of their place in the networks."""
        super().__init__()
        bound = inputs**-0.5
        self.weight = nn.Parameter(torch.empty(size, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(size, 1, outputs).uniform_(-bound, bound))
        self._product = product

    def forward(self, x: Tensor) -> Tensor:
        """(size, rows, inputs) → (size, rows, outputs)."""
        product = self._product(x, self.weight)
        return product + self.bias.to(product.dtype)

    def side_by_side(self, common: Tensor, own: Tensor) -> Tensor:
        """Of `common` (B, c) with each of its N rows in `own` (…, B, N, o), c + o inputs: (size, B · N, outputs).

        What rows have in common is multiplied once for all of them.
        """
        size, _, outputs = self.weight.shape
        *_, batch, number, inputs = own.shape
        for_common, for_own = self.weight[:, :-inputs], self.weight[:, -inputs:]
        once = self._product(common.expand(size, -1, -1), for_common)
        once = once + self.bias.to(once.dtype)
        each = self._product(own.reshape(-1, batch * number, inputs).expand(size, -1, -1), for_own)
        return (each.view(size, batch, number, outputs) + once.unsqueeze(2)).view(size, batch * number, outputs)
