"""Residual networks, alone and as an ensemble whose members run in one batched product (SimBa, Lee et al. 2025)."""

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from rql.config.networks import ResNetActorConfig, ResNetCriticConfig
from rql.nn.linear import EnsembleLinear, Linear, LinearLayer, hidden_product, input_product, output_product


class ResNet(nn.Module):
    """Linear → blocks x + Linear(ReLU(Linear(norm(x)))) → norm → linear layer: (..., inputs) → (..., outputs)."""

    def __init__(
        self, linear: LinearLayer, inputs: int, width: int, hidden: Sequence[int], outputs: int, layer_norm: bool
    ) -> None:
        """`width` is that of x; a block has each of the `hidden` widths inside."""
        super().__init__()

        def norm() -> nn.Module:
            return nn.LayerNorm(width, elementwise_affine=False) if layer_norm else nn.Identity()

        def block(inner: int) -> nn.Module:
            return nn.Sequential(
                norm(), linear(width, inner, hidden_product), nn.ReLU(), linear(inner, width, hidden_product)
            )

        self.first = linear(inputs, width, input_product)
        self.blocks = nn.ModuleList(block(inner) for inner in hidden)
        self.last = nn.Sequential(norm(), linear(width, outputs, output_product))

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) → (..., outputs)."""
        x = self.first(x).float()  # in which the blocks' contributions add up
        for block in self.blocks:
            x = x + block(x)
        outputs: Tensor = self.last(x)
        return outputs


def actor_resnet(config: ResNetActorConfig, inputs: int, outputs: int) -> nn.Module:
    """The network of `network/actor=resnet`: (..., inputs) → (..., outputs)."""
    return ResNet(Linear, inputs, config.width, config.hidden, outputs, config.layer_norm)


def critic_resnet(config: ResNetCriticConfig, size: int, inputs: int, outputs: int) -> nn.Module:
    """The networks of `network/critic=resnet`: (size, rows, inputs) → (size, rows, outputs)."""
    linear = partial(EnsembleLinear, size)
    return ResNet(linear, inputs, config.width, config.hidden, outputs, config.layer_norm)
