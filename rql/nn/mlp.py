"""Multi-layer perceptrons, alone and as an ensemble whose members run in one batched product."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rql.config.networks import ActorNetworkConfig, CriticNetworkConfig


def mlp(inputs: int, hidden: Sequence[int], outputs: int, layer_norm: bool) -> nn.Sequential:
    """Linear → (layer norm) → ReLU for each hidden width, then a linear layer: (..., inputs) → (..., outputs)."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers.append(nn.Linear(inputs, width))
        layers += _activation(width, layer_norm)
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


def _activation(width: int, layer_norm: bool) -> list[nn.Module]:
    """Layer norm has no scale and shift of its own: the linear layers around it can do nearly the same for less."""
    return [nn.LayerNorm(width, elementwise_affine=False), nn.ReLU()] if layer_norm else [nn.ReLU()]


class EnsembleLinear(nn.Module):
    """`size` linear layers side by side: (size, rows, inputs) → (size, rows, outputs)."""

    def __init__(self, size: int, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = inputs**-0.5
        self.weight = nn.Parameter(torch.empty(size, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(size, 1, outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """(size, rows, inputs) → (size, rows, outputs)."""
        return torch.baddbmm(self.bias, x, self.weight)


def ensemble_mlp(size: int, inputs: int, hidden: Sequence[int], outputs: int, layer_norm: bool) -> nn.Sequential:
    """`size` multi-layer perceptrons side by side: (size, rows, inputs) → (size, rows, outputs)."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers.append(EnsembleLinear(size, inputs, width))
        layers += _activation(width, layer_norm)
        inputs = width
    return nn.Sequential(*layers, EnsembleLinear(size, inputs, outputs))


def actor_mlp(config: ActorNetworkConfig, inputs: int, outputs: int) -> nn.Module:
    """The network of `network/actor=mlp`: (..., inputs) → (..., outputs)."""
    return mlp(inputs, config.hidden, outputs, config.layer_norm)


def critic_mlp(config: CriticNetworkConfig, size: int, inputs: int, outputs: int) -> nn.Module:
    """The networks of `network/critic=mlp`: (size, rows, inputs) → (size, rows, outputs)."""
    return ensemble_mlp(size, inputs, config.hidden, outputs, config.layer_norm)
