"""Policy networks: (normalised) observations in, a distribution over actions out."""

import torch
from torch import Tensor, nn

from rql.nn.distributions import Categorical, Gaussian, Mixture, SquashedGaussian, Uniform


class CategoricalPolicy(nn.Module):
    """π(a|s) over discrete actions."""

    def __init__(self, net: nn.Module) -> None:
        """`net` maps observations to logits."""
        super().__init__()
        self.net = net

    def forward(self, obs: Tensor) -> Categorical:
        """(..., obs_dim) → logits (..., num_actions)."""
        return Categorical(self.net(obs))


class SquashedGaussianPolicy(nn.Module):
    """π(a|s) over [−1, 1]^d: a squashed Gaussian whose mean and scale both depend on the state."""

    def __init__(self, net: nn.Module, log_std_min: float, log_std_max: float) -> None:
        """`net` maps observations to 2 d numbers: d means, and what decides d scales."""
        super().__init__()
        self.net = net
        self.log_std_min, self.log_std_max = log_std_min, log_std_max

    def forward(self, obs: Tensor) -> SquashedGaussian:
        """(..., obs_dim) → mean and log-std (..., action_dim)."""
        mean, raw = self.net(obs).chunk(2, dim=-1)
        return SquashedGaussian(mean, _in_range(raw, self.log_std_min, self.log_std_max))


class EditPolicy(nn.Module):
    """π(e|s,b) over [−1, 1]^d: a squashed Gaussian of what is added to an action b of another policy."""

    def __init__(self, net: nn.Module, log_std_min: float, log_std_max: float) -> None:
        """`net` maps observations and actions side by side to 2 d numbers, as that of a `SquashedGaussianPolicy`."""
        super().__init__()
        self.policy = SquashedGaussianPolicy(net, log_std_min, log_std_max)

    def forward(self, obs: Tensor, action: Tensor) -> SquashedGaussian:
        """(B, obs_dim) and N actions for each, (B, N, d), → mean and log-std (B, N, d)."""
        pairs = torch.cat([obs.unsqueeze(1).expand(*action.shape[:-1], -1), action], dim=-1)
        edits: SquashedGaussian = self.policy(pairs)
        return edits


class MixturePolicy(nn.Module):
    """π(a|s) over [−1, 1]^d: squashed Gaussians, of which one is drawn (Bishop 1994)."""

    def __init__(self, net: nn.Module, components: int, log_std_min: float, log_std_max: float) -> None:
        """`net` maps observations to K (2 d + 1) numbers for K components: logits, means, and what decides scales."""
        super().__init__()
        self.net, self.components = net, components
        self.log_std_min, self.log_std_max = log_std_min, log_std_max

    def forward(self, obs: Tensor) -> Mixture:
        """(..., obs_dim) → logits (..., K), mean and log-std (..., K, action_dim)."""
        of_each = self.net(obs).unflatten(-1, (self.components, -1))
        mean, raw = of_each[..., 1:].chunk(2, dim=-1)
        return Mixture(of_each[..., 0], SquashedGaussian(mean, _in_range(raw, self.log_std_min, self.log_std_max)))


class GaussianPolicy(nn.Module):
    """π(a|s) as a normal distribution around a mean in (−1, 1)^d, with one scale a dimension for all states."""

    def __init__(self, net: nn.Module, action_dim: int, log_std_min: float, log_std_max: float) -> None:
        """`net` maps observations to d numbers, whose tanh is the mean."""
        super().__init__()
        self.net = net
        self.raw_log_std = nn.Parameter(torch.zeros(action_dim))
        self.log_std_min, self.log_std_max = log_std_min, log_std_max

    def forward(self, obs: Tensor) -> Gaussian:
        """(..., obs_dim) → mean (..., action_dim) and log-std (action_dim,)."""
        log_std = self.log_std_min + (self.log_std_max - self.log_std_min) * self.raw_log_std.sigmoid()
        return Gaussian(self.net(obs).tanh(), log_std)


class DeterministicPolicy(nn.Module):
    """a = π(s) in (−1, 1)^d."""

    def __init__(self, net: nn.Module) -> None:
        """`net` maps observations to d numbers, whose tanh is the action."""
        super().__init__()
        self.net = net

    def forward(self, obs: Tensor) -> Tensor:
        """(..., obs_dim) → actions (..., action_dim)."""
        action: Tensor = self.net(obs).tanh()
        return action


class FlowPolicy(nn.Module):
    """The velocity v(s, x, t) of a flow from normal noise to actions."""

    def __init__(self, net: nn.Module) -> None:
        """`net` maps observations, points and times side by side to d numbers."""
        super().__init__()
        self.net = net

    def forward(self, obs: Tensor, point: Tensor, time: Tensor) -> Tensor:
        """(..., obs_dim), (..., d) and (..., 1) → (..., d)."""
        velocity: Tensor = self.net(torch.cat([obs, point, time], dim=-1))
        return velocity


class Correction(nn.Module):
    """What is added to an action that another policy proposes: δ(s, b) in (−c, c)^d."""

    def __init__(self, net: nn.Module, scale: float) -> None:
        """`net` maps observations and actions side by side to d numbers; `scale` is c."""
        super().__init__()
        self.net, self.scale = net, scale

    def forward(self, obs: Tensor, action: Tensor) -> Tensor:
        """(..., obs_dim) and (..., d) → (..., d)."""
        correction: Tensor = self.scale * self.net(torch.cat([obs, action], dim=-1)).tanh()
        return correction


def _in_range(raw: Tensor, low: float, high: float) -> Tensor:
    """Any numbers to the range [low, high]."""
    half: Tensor = 0.5 * (high - low) * (1.0 + raw.tanh())
    return low + half


class UniformPolicy(nn.Module):
    """The prior of whoever has no demonstrations: every action is as likely. It has no parameters."""

    def __init__(self, action_width: int, discrete: bool) -> None:
        """`action_width` is the number of discrete actions, or d."""
        super().__init__()
        self.action_width, self.discrete = action_width, discrete

    def forward(self, obs: Tensor) -> Categorical | Uniform:
        """(..., obs_dim) → the uniform distribution at each of the observations."""
        zeros = obs.new_zeros((*obs.shape[:-1], self.action_width))
        return Categorical(zeros) if self.discrete else Uniform(zeros)
