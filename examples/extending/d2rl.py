"""Networks of your own: D2RL (Sinha et al. 2020), whose hidden layers all see the input."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, relu

import rql
from rql.config.networks import ActorNetworkConfig, CriticNetworkConfig
from rql.nn.linear import EnsembleLinear


class D2RL(nn.Module):
    """A multi-layer perceptron whose input goes into every hidden layer: (..., inputs) → (..., outputs)."""

    def __init__(
        self,
        linear: Callable[[int, int], nn.Module],
        inputs: int,
        hidden: Sequence[int],
        outputs: int,
        normalize: bool,
    ) -> None:
        """`linear` makes a layer from its number of inputs and of outputs."""
        super().__init__()
        before = [inputs, *(width + inputs for width in hidden[:-1])]
        self.hidden = nn.ModuleList(linear(*widths) for widths in zip(before, hidden, strict=True))
        self.last, self.normalize = linear(hidden[-1], outputs), normalize

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) → (..., outputs)."""
        y = x
        for number, layer in enumerate(self.hidden):
            y = layer(torch.cat([y, x], -1) if number else x)
            y = relu(layer_norm(y, y.shape[-1:]) if self.normalize else y)
        outputs: Tensor = self.last(y)
        return outputs


def actor(config: ActorNetworkConfig, inputs: int, outputs: int) -> nn.Module:
    """The network of a policy: (..., inputs) → (..., outputs)."""
    return D2RL(nn.Linear, inputs, config.hidden, outputs, config.layer_norm)


def critics(config: CriticNetworkConfig, size: int, inputs: int, outputs: int) -> nn.Module:
    """The networks of `size` critics: (size, rows, inputs) → (size, rows, outputs)."""
    return D2RL(partial(EnsembleLinear, size), inputs, config.hidden, outputs, config.layer_norm)


@rql.register("network/actor", "d2rl", actor)
@dataclass
class D2RLActorConfig(ActorNetworkConfig):
    """The widths are those of `network.actor.hidden`."""


@rql.register("network/critic", "d2rl", critics)
@dataclass
class D2RLCriticConfig(CriticNetworkConfig):
    """The widths are those of `network.critic.hidden`."""
