"""Multi-layer perceptrons, alone and as an ensemble whose members run in one batched product."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def mlp(inputs: int, hidden: Sequence[int], outputs: int, layer_norm: bool) -> nn.Sequential:
    """Linear → (layer norm) → ReLU for each hidden width, then a linear layer: (..., inputs) → (..., outputs)."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers.append(nn.Linear(inputs, width))
        layers += [nn.LayerNorm(width), nn.ReLU()] if layer_norm else [nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


class EnsembleLinear(nn.Module):
    """`size` linear layers side by side: (size, rows, inputs) → (size, rows, outputs)."""

    def __init__(self, size: int, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = inputs**-0.5
        self.weight = nn.Parameter(torch.empty(size, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(size, 1, outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight)


class EnsembleLayerNorm(nn.Module):
    """Layer norm with a scale and a shift for each member: (size, rows, width) → the same."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(size, 1, width))
        self.shift = nn.Parameter(torch.zeros(size, 1, width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.shift, nn.functional.layer_norm(x, x.shape[-1:]), self.scale)


def ensemble_mlp(size: int, inputs: int, hidden: Sequence[int], outputs: int, layer_norm: bool) -> nn.Sequential:
    """The same as `mlp` for `size` members: (size, rows, inputs) → (size, rows, outputs)."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers.append(EnsembleLinear(size, inputs, width))
        layers += [EnsembleLayerNorm(size, width), nn.ReLU()] if layer_norm else [nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers, EnsembleLinear(size, inputs, outputs))
