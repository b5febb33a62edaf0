"""Residual networks, alone and as an ensemble whose members run in one batched product (SimBa, Lee et al. 2025)."""

from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor, nn

from rql.config.networks import ResNetActorConfig, ResNetCriticConfig
from rql.nn.mlp import EnsembleLinear

Linear = Callable[[int, int], nn.Module]
"""(inputs, outputs) → a linear layer."""


class ResNet(nn.Module):
    """Linear → blocks x + Linear(ReLU(Linear(norm(x)))) → norm → linear layer: (..., inputs) → (..., outputs)."""

    def __init__(
        self, linear: Linear, inputs: int, width: int, hidden: Sequence[int], outputs: int, layer_norm: bool
    ) -> None:
        """`width` is that of x; a block has each of the `hidden` widths inside."""
        super().__init__()

        def norm() -> nn.Module:
            return nn.LayerNorm(width, elementwise_affine=False) if layer_norm else nn.Identity()

        def block(inner: int) -> nn.Module:
            return nn.Sequential(norm(), linear(width, inner), nn.ReLU(), linear(inner, width))

        self.first = linear(inputs, width)
        self.blocks = nn.ModuleList(block(inner) for inner in hidden)
        self.last = nn.Sequential(norm(), linear(width, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) → (..., outputs)."""
        x = self.first(x)
        for block in self.blocks:
            x = x + block(x)
        outputs: Tensor = self.last(x)
        return outputs


def actor_resnet(config: ResNetActorConfig, inputs: int, outputs: int) -> nn.Module:
    """The network of `network/actor=resnet`: (..., inputs) → (..., outputs)."""
    return ResNet(nn.Linear, inputs, config.width, config.hidden, outputs, config.layer_norm)


def critic_resnet(config: ResNetCriticConfig, size: int, inputs: int, outputs: int) -> nn.Module:
    """The networks of `network/critic=resnet`: (size, rows, inputs) → (size, rows, outputs)."""
    linear = partial(EnsembleLinear, size)
    return ResNet(linear, inputs, config.width, config.hidden, outputs, config.layer_norm)
