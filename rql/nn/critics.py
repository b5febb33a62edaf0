"""Ensembles of Q, which value sets of actions: E critics, B states, N actions a state → (E, B, N); and V."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rql.nn.mlp import ensemble_mlp, mlp


class DiscreteCritics(nn.Module):
    """Q(s, ·) for all discrete actions at once."""

    def __init__(self, size: int, obs_dim: int, num_actions: int, hidden: Sequence[int], layer_norm: bool) -> None:
        super().__init__()
        self.size = size
        self.net = ensemble_mlp(size, obs_dim, hidden, num_actions, layer_norm)

    def forward(self, obs: Tensor, actions: Tensor) -> Tensor:
        """obs (B, obs_dim) and actions (B, N) int64 → (E, B, N)."""
        values: Tensor = self.net(obs.expand(self.size, -1, -1))
        return values.gather(-1, actions.expand(self.size, -1, -1))


class ContinuousCritics(nn.Module):
    """Q(s, a) for actions in [−1, 1]^d."""

    def __init__(self, size: int, obs_dim: int, action_dim: int, hidden: Sequence[int], layer_norm: bool) -> None:
        super().__init__()
        self.size = size
        self.net = ensemble_mlp(size, obs_dim + action_dim, hidden, 1, layer_norm)

    def forward(self, obs: Tensor, actions: Tensor) -> Tensor:
        """obs (B, obs_dim) and actions (B, N, d) → (E, B, N)."""
        batch, number, _ = actions.shape
        pairs = torch.cat([obs.unsqueeze(1).expand(-1, number, -1), actions], dim=-1)
        values: Tensor = self.net(pairs.reshape(1, batch * number, -1).expand(self.size, -1, -1))
        return values.view(self.size, batch, number)


class StateValue(nn.Module):
    """V(s)."""

    def __init__(self, obs_dim: int, hidden: Sequence[int], layer_norm: bool) -> None:
        super().__init__()
        self.net = mlp(obs_dim, hidden, 1, layer_norm)

    def forward(self, obs: Tensor) -> Tensor:
        """(..., obs_dim) → (...,)."""
        values: Tensor = self.net(obs)
        return values.squeeze(-1)
