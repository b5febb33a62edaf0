"""Multi-layer perceptrons, alone and as an ensemble whose members run in one batched product."""

from collections.abc import Sequence
from functools import partial

from torch import nn

from rql.config.networks import ActorNetworkConfig, CriticNetworkConfig
from rql.nn.linear import EnsembleLinear, Linear, LinearLayer, hidden_product, input_product, output_product


def actor_mlp(config: ActorNetworkConfig, inputs: int, outputs: int) -> nn.Module:
    """The network of `network/actor=mlp`: (..., inputs) → (..., outputs)."""
    return mlp(Linear, inputs, config.hidden, outputs, config.layer_norm)


def critic_mlp(config: CriticNetworkConfig, size: int, inputs: int, outputs: int) -> nn.Module:
    """The networks of `network/critic=mlp`: (size, rows, inputs) → (size, rows, outputs)."""
    return mlp(partial(EnsembleLinear, size), inputs, config.hidden, outputs, config.layer_norm)


def mlp(linear: LinearLayer, inputs: int, hidden: Sequence[int], outputs: int, layer_norm: bool) -> nn.Sequential:
    """Linear → (layer norm) → ReLU for each hidden width, then a linear layer: (..., inputs) → (..., outputs)."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers.append(linear(inputs, width, hidden_product if layers else input_product))
        # layer norm has no scale and shift of its own: the linear layers around it can do nearly the same for less
        layers += [nn.LayerNorm(width, elementwise_affine=False)] if layer_norm else []
        layers.append(nn.ReLU())
        inputs = width
    return nn.Sequential(*layers, linear(inputs, outputs, output_product))
