"""Distributions over actions. They are plain tuples of tensors: sampling takes its random numbers as an argument."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

ACTION_LIMIT = 1.0 - 1e-3
"""An action nearer to ±1 than this is read as lying here, where its log-density is still finite."""


class Categorical(NamedTuple):
    """π(a|s) for discrete actions."""

    logits: Tensor
    """(..., number of actions), unnormalised."""

    def log_probs(self) -> Tensor:
        """log π(a|s) for every action: (..., number of actions)."""
        return self.logits.log_softmax(-1)

    def log_prob(self, action: Tensor) -> Tensor:
        """log π(a|s) of the actions `action` (...,) int64: (...,)."""
        return self.log_probs().gather(-1, action.unsqueeze(-1)).squeeze(-1)

    def mode(self) -> Tensor:
        """The most probable action: (...,) int64."""
        return self.logits.argmax(-1)

    def sample(self, uniform: Tensor) -> Tensor:
        """An action for the uniform random numbers of (..., number of actions), by the Gumbel-max trick."""
        return (self.logits + gumbel(uniform)).argmax(-1)


class SquashedGaussian(NamedTuple):
    """The distribution of a = tanh(u), u ~ N(mean, exp(log_std)²) with independent dimensions; a ∈ (−1, 1)^d.

    `u` is called the latent action. Ratios of densities and KL divergences between two of these are the same for
    a and for u, for tanh is a bijection.
    """

    mean: Tensor
    """(..., d), of the latent action."""
    log_std: Tensor
    """(..., d), of the latent action."""

    def latent(self, noise: Tensor) -> Tensor:
        """A latent action for each standard normal `noise`, (..., d)."""
        return self.mean + self.log_std.exp() * noise

    def sample(self, noise: Tensor) -> Tensor:
        """An action for each standard normal `noise`, (..., d)."""
        return self.latent(noise).tanh()

    def mode(self) -> Tensor:
        """The most probable latent action, squashed: (..., d)."""
        return self.mean.tanh()

    def latent_log_density(self, latent: Tensor) -> Tensor:
        """log density of u, (..., d) → (...,)."""
        return self._log_densities(latent).sum(-1)

    def log_density(self, latent: Tensor) -> Tensor:
        """log density of a = tanh(u) at the latent actions u, (..., d) → (...,)."""
        return self.latent_log_density(latent) - log_slope(latent)

    def log_prob(self, action: Tensor, mask: Tensor | None = None) -> Tensor:
        """log density of actions in [−1, 1]^d, (..., d) → (...,); see `ACTION_LIMIT`.

        With a `mask` (..., d) of 0 and 1 it is that of the components with a 1, whatever the others are.
        """
        latent = action.clamp(-ACTION_LIMIT, ACTION_LIMIT).atanh()
        if mask is None:
            return self.log_density(latent)
        return (mask * (self._log_densities(latent) - _log_slopes(latent))).sum(-1)

    def kl_of(self, policy: "SquashedGaussian", latent: Tensor) -> Tensor:
        """KL(policy ‖ self) in nats, exact: (...,). `latent` is not read."""
        variance_ratio = (2.0 * (policy.log_std - self.log_std)).exp()
        distance = ((policy.mean - self.mean) * (-self.log_std).exp()).square()
        return 0.5 * (variance_ratio + distance - 1.0 - variance_ratio.log()).sum(-1)

    def unsqueeze(self) -> "SquashedGaussian":
        """The distribution with a dimension for several actions a state: (B, d) → (B, 1, d)."""
        return SquashedGaussian(self.mean.unsqueeze(-2), self.log_std.unsqueeze(-2))

    def _log_densities(self, latent: Tensor) -> Tensor:
        """log density of each component of u: (..., d)."""
        z = (latent - self.mean) * (-self.log_std).exp()
        return -0.5 * z.square() - self.log_std - 0.5 * math.log(2 * math.pi)


class Mixture(NamedTuple):
    """The distribution of several squashed Gaussians, of which one is drawn; a ∈ (−1, 1)^d."""

    logits: Tensor
    """(..., K): how often each is drawn, as unnormalised logarithms."""
    components: SquashedGaussian
    """(..., K, d)."""

    def sample(self, noise: Tensor) -> Tensor:
        """An action for each standard normal `noise`, (..., 1 + d): its first number says which component is drawn."""
        share, upper = 0.5 * (1.0 + (noise[..., :1] * math.sqrt(0.5)).erf()), self.logits.softmax(-1).cumsum(-1)
        return self._drawn((share >= upper[..., :-1]).sum(-1, keepdim=True)).sample(noise[..., 1:])

    def mode(self) -> Tensor:
        """The most probable latent action of the component that is drawn most often, squashed: (..., d)."""
        return self._drawn(self.logits.argmax(-1, keepdim=True)).mode()

    def log_prob(self, action: Tensor, mask: Tensor | None = None) -> Tensor:
        """log density of actions in [−1, 1]^d, as `SquashedGaussian.log_prob`."""
        of_each = self.components.log_prob(action.unsqueeze(-2), None if mask is None else mask.unsqueeze(-2))
        return (self.logits.log_softmax(-1) + of_each).logsumexp(-1)

    def unsqueeze(self) -> "Mixture":
        """The distribution with a dimension for several actions a state: (B, d) → (B, 1, d)."""
        mean, log_std = (one.unsqueeze(-3) for one in self.components)
        return Mixture(self.logits.unsqueeze(-2), SquashedGaussian(mean, log_std))

    def _drawn(self, which: Tensor) -> SquashedGaussian:
        """The components with these numbers, (..., 1)."""

        def chosen(of_each: Tensor) -> Tensor:
            index = which.unsqueeze(-1).expand(*which.shape, of_each.shape[-1])
            return of_each.expand(*which.shape[:-1], -1, -1).gather(-2, index).squeeze(-2)

        return SquashedGaussian(*map(chosen, self.components))


class Gaussian(NamedTuple):
    """A normal distribution of a whose mean lies in (−1, 1)^d, with independent dimensions.

    Its density is that of the unbounded normal; samples are clipped to [−1, 1]^d.
    """

    mean: Tensor
    """(..., d)."""
    log_std: Tensor
    """(..., d), or what broadcasts to it."""

    def sample(self, noise: Tensor) -> Tensor:
        """An action for each standard normal `noise`, (..., d)."""
        return (self.mean + self.log_std.exp() * noise).clamp(-1.0, 1.0)

    def mode(self) -> Tensor:
        """The mean: (..., d)."""
        return self.mean

    def log_prob(self, action: Tensor) -> Tensor:
        """log density of actions, (..., d) → (...,)."""
        z = (action - self.mean) * (-self.log_std).exp()
        return (-0.5 * z.square() - self.log_std - 0.5 * math.log(2 * math.pi)).sum(-1)


class Uniform(NamedTuple):
    """The uniform distribution on [−1, 1]^d, seen as that of a = tanh(u) like a `SquashedGaussian`."""

    center: Tensor
    """(..., d), all zeros."""

    def latent(self, noise: Tensor) -> Tensor:
        """A latent action for each standard normal `noise`, (..., d)."""
        return (self.sample(noise) * (1.0 - 1e-6)).atanh()

    def sample(self, noise: Tensor) -> Tensor:
        """An action for each standard normal `noise`, (..., d): 2Φ(noise) − 1."""
        return (noise * math.sqrt(0.5)).erf()

    def mode(self) -> Tensor:
        """The middle: every action is as probable."""
        return self.center

    def latent_log_density(self, latent: Tensor) -> Tensor:
        """log density of u, (..., d) → (...,)."""
        return self.log_density(latent) + log_slope(latent)

    def log_density(self, latent: Tensor) -> Tensor:
        """log density of a = tanh(u): −d log 2, (..., d) → (...,)."""
        return torch.full_like(latent[..., 0], -latent.shape[-1] * math.log(2.0))

    def log_prob(self, action: Tensor) -> Tensor:
        """log density of actions in [−1, 1]^d, (..., d) → (...,)."""
        return self.log_density(action)

    def kl_of(self, policy: SquashedGaussian, latent: Tensor) -> Tensor:
        """KL(policy ‖ self) = d log 2 − H(policy) in nats, from one latent action of `policy`, (..., d) → (...,).

        Without bias, and its gradient too where `latent` is reparameterised: the entropy estimate of SAC (Haarnoja
        et al. 2018b).
        """
        return policy.log_density(latent) - self.log_density(latent)

    def unsqueeze(self) -> "Uniform":
        """The distribution with a dimension for several actions a state: (B, d) → (B, 1, d)."""
        return Uniform(self.center.unsqueeze(-2))


class Proposals(NamedTuple):
    """K samples of a policy that is known by them alone."""

    actions: Tensor
    """(B, K, d) in [−1, 1]."""

    def sample(self, noise: Tensor) -> Tensor:
        """The first of the samples for `noise` (B, d), or N of them for (B, N, d): in their order, and over again.

        They are random already, so that `noise` is not read.
        """
        if noise.ndim < self.actions.ndim:
            return self.mode()
        chosen = torch.arange(noise.shape[-2], device=self.actions.device) % self.actions.shape[-2]
        return self.actions[..., chosen, :]

    def mode(self) -> Tensor:
        """The first of the samples: (B, d)."""
        return self.actions[..., 0, :]

    def unsqueeze(self) -> "Proposals":
        """The samples, several a state as they are."""
        return self


class Flow:
    """The distribution of where a velocity field takes normal noise between the times 0 and 1; a ∈ [−1, 1]^d."""

    def __init__(self, velocity: Callable[..., Tensor], obs: Tensor, steps: int, dims: int) -> None:
        """`velocity` maps observations (…, obs_dim), points (…, d) and times (…, 1) to (…, d)."""
        self._velocity, self._obs, self._steps, self._dims = velocity, obs, steps, dims

    def sample(self, noise: Tensor) -> Tensor:
        """An action for each standard normal `noise`, (..., d), by Euler's method."""
        obs = self._obs.expand(*noise.shape[:-1], -1)
        point, step = noise, 1.0 / self._steps
        for number in range(self._steps):
            point = point + step * self._velocity(obs, point, torch.full_like(point[..., :1], number * step))
        return point.clamp(-1.0, 1.0)

    def mode(self) -> Tensor:
        """Where the middle of the noise is taken to, (B, d): one of the ways, where there are several."""
        return self.sample(self._obs.new_zeros((self._obs.shape[0], self._dims)))

    def unsqueeze(self) -> "Flow":
        """The distribution with a dimension for several actions a state: (B, d) → (B, 1, d)."""
        return Flow(self._velocity, self._obs.unsqueeze(-2), self._steps, self._dims)


def log_slope(latent: Tensor) -> Tensor:
    """log |da/du| = Σ log(1 − tanh² u) of a = tanh(u): (..., d) → (...,)."""
    return _log_slopes(latent).sum(-1)


def _log_slopes(latent: Tensor) -> Tensor:
    """Of each component, (..., d)."""
    return 2.0 * (math.log(2.0) - latent - softplus(-2.0 * latent))


ContinuousDistribution = SquashedGaussian | Uniform


def gumbel(uniform: Tensor) -> Tensor:
    """Standard Gumbel numbers from uniform ones in [0, 1): argmax(logits + gumbel) samples softmax(logits)."""
    tiny = torch.finfo(uniform.dtype).tiny
    return -(-uniform.clamp_min(tiny).log()).clamp_min(tiny).log()
