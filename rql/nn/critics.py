"""Ensembles of Q, which value sets of actions: E critics, B states, N actions a state → (E, B, N); and V."""

import torch
from torch import Tensor, nn

from rql.nn.linear import EnsembleLinear

MANY = 8
"""Actions a state from which it pays to multiply the state by its part of the first layer apart."""


class DiscreteCritics(nn.Module):
    """Q(s, ·) for all discrete actions at once."""

    def __init__(self, net: nn.Module, size: int) -> None:
        """`net` maps (E, B, obs_dim) to (E, B, number of actions); `size` is E."""
        super().__init__()
        self.size, self.net = size, net

    def forward(self, obs: Tensor, actions: Tensor) -> Tensor:
        """obs (B, obs_dim) and actions (B, N) int64 → (E, B, N)."""
        values: Tensor = self.net(obs.expand(self.size, -1, -1))
        return values.gather(-1, actions.expand(self.size, -1, -1))


class ContinuousCritics(nn.Module):
    """Q(s, a) for actions in [−1, 1]^d."""

    def __init__(self, net: nn.Module, size: int) -> None:
        """`net` maps observations and actions side by side, (E, B, obs_dim + d), to (E, B, 1); `size` is E."""
        super().__init__()
        self.size, self.net = size, net

    def forward(self, obs: Tensor, actions: Tensor) -> Tensor:
        """obs (B, obs_dim) and actions (B, N, d), or (E, B, N, d) with some for each critic, → (E, B, N)."""
        *_, batch, number, _ = actions.shape
        if number >= MANY and isinstance(self.net, nn.Sequential) and isinstance(self.net[0], EnsembleLinear):
            values: Tensor = self.net[0].side_by_side(obs, actions)
            for layer in list(self.net)[1:]:
                values = layer(values)
            return values.view(self.size, batch, number)
        pairs = torch.cat([obs.unsqueeze(1).expand(*actions.shape[:-1], -1), actions], dim=-1)
        values = self.net(pairs.reshape(-1, batch * number, pairs.shape[-1]).expand(self.size, -1, -1))
        return values.view(self.size, batch, number)


class StateValue(nn.Module):
    """V(s)."""

    def __init__(self, net: nn.Module) -> None:
        """`net` maps (1, B, obs_dim) to (1, B, 1), as an ensemble of one."""
        super().__init__()
        self.net = net

    def forward(self, obs: Tensor) -> Tensor:
        """(B, obs_dim) → (B,)."""
        values: Tensor = self.net(obs.unsqueeze(0))
        return values.reshape(-1)
