"""What differs between discrete and continuous actions: which actions stand for an expectation, and their noise."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rql.agents.base import Noise, normal, uniform
from rql.method.actions import (
    WeightedActions,
    enumerate_actions,
    enumerate_prior,
    sample_actions,
    sample_mixture,
    sample_policy,
    sample_prior,
    sample_smoothed,
)
from rql.method.composition import prior_variance, sample_variance
from rql.nn.distributions import Categorical, ContinuousDistribution, SquashedGaussian

DIAGNOSIS_SAMPLES = 8
SCALE_STATES, SCALE_SAMPLES = 8, 2
"""The variance of Q is measured at one state in so many, on so many actions of π_BC: two are the least that have one,
and the mean over states runs over hundreds of updates.
"""

Score = Callable[[Tensor], Tensor]
"""β Q of actions, (B, N) → (B, N) or (B, N, d) → (B, N)."""


class DiscreteActions:
    """All actions, exactly; nothing is sampled but the action that is taken."""

    def __init__(self, count: int) -> None:
        self.count = count

    def update_noise(self, batch: int, conservative: bool, generator: torch.Generator) -> Noise:
        """The random numbers of one update: none."""
        return {}

    def diagnosis_noise(self, batch: int, generator: torch.Generator) -> Noise:
        """The random numbers of one `prior`: none."""
        return {}

    def act_noise(self, batch: int, generator: torch.Generator) -> Noise:
        """The random numbers of one action for each of `batch` states."""
        return {"uniform": uniform((batch, self.count), generator)}

    def prior(self, bc: Categorical, actor: Categorical | None, noise: Noise) -> WeightedActions:
        """Actions that stand for π_BC."""
        return enumerate_prior(bc)

    def target(self, bc: Categorical, actor: Categorical | None, noise: Noise) -> WeightedActions:
        """Actions that stand for π_BC at the next states of a batch, on which the TD target is computed."""
        return enumerate_prior(bc)

    def states_for_scale(self, obs: Tensor) -> Tensor:
        """The states of a batch at which the variance of Q is measured: all."""
        return obs

    def for_scale(self, bc: Categorical, noise: Noise) -> WeightedActions:
        """Actions that stand for π_BC, on which the variance of Q is measured."""
        return enumerate_prior(bc)

    def variance(self, q: Tensor, log_weight: Tensor) -> Tensor:
        """The variance of Q over π_BC (B,) on weighted actions."""
        return prior_variance(q, log_weight)

    def space(self, policy: Categorical, noise: Noise) -> WeightedActions:
        """Actions that stand for the whole action space at the states of a batch."""
        return enumerate_actions(policy)

    def candidate_noise(self, batch: int, generator: torch.Generator) -> Noise:
        """The random numbers of `candidates`: none."""
        return {}

    def candidates(self, bc: Categorical, noise: Noise) -> WeightedActions:
        """The candidates that π_final chooses from."""
        return enumerate_prior(bc)

    def mode(self, bc: Categorical, score: Score) -> WeightedActions:
        """The actions of which the mode of π_final is the one with the highest weight."""
        weighted = enumerate_prior(bc)
        return WeightedActions(weighted.actions, weighted.log_weight + score(weighted.actions))

    def choose(self, policy: Categorical, noise: Noise, deterministic: bool) -> Tensor:
        """The mode of `policy` for each state, or a sample."""
        return policy.mode() if deterministic else policy.sample(noise["uniform"])


class ContinuousActions:
    """Actions in [−1, 1]^d, sampled."""

    def __init__(
        self,
        dims: int,
        target_samples: int,
        cql_samples: int,
        candidates: int,
        on_policy: bool,
        normalized: bool,
        draws: int,
    ) -> None:
        """`candidates` is N of the resample composition; 0 where a network π_θ acts. `on_policy` asks for targets on
        actions of π_θ alone, `normalized` for the variance of Q. `draws` are the random numbers of an action of π_BC.
        """
        self.on_policy, self.normalized = on_policy, normalized
        self.dims, self.draws = dims, draws
        self.target_samples, self.cql_samples = target_samples, cql_samples
        self.num_candidates = candidates
        half = torch.randn(((candidates + 1) // 2, draws), generator=torch.Generator().manual_seed(0))
        self._mode_draws = torch.cat([half, -half])

    def update_noise(self, batch: int, conservative: bool, generator: torch.Generator) -> Noise:
        """The random numbers of one update; `conservative` asks for those of the CQL term too."""
        noise = {"prior": normal((batch, self.target_samples, self.draws), generator)}
        if self.normalized:
            noise["scale"] = normal((*self.scale_shape(batch), self.draws), generator)
        if conservative:
            noise["space_uniform"] = uniform((batch, self.cql_samples, self.dims), generator)
            noise["space_normal"] = normal((batch, self.cql_samples, self.dims), generator)
        return noise

    def scale_shape(self, batch: int) -> tuple[int, int]:
        """Of the actions on which the variance of Q is measured: (states, actions of each)."""
        return -(-batch // SCALE_STATES), SCALE_SAMPLES

    def diagnosis_noise(self, batch: int, generator: torch.Generator) -> Noise:
        """The random numbers of one `prior` with samples enough to tell something."""
        samples = max(self.target_samples, DIAGNOSIS_SAMPLES)
        return {"prior": normal((batch, samples, self.draws), generator)}

    def act_noise(self, batch: int, generator: torch.Generator) -> Noise:
        """The random numbers of one action for each of `batch` states."""
        noise = {"action": normal((batch, self.draws), generator)}
        if self.num_candidates:
            noise |= self.candidate_noise(batch, generator)
            noise["uniform"] = uniform((batch, self.num_candidates), generator)
        return noise

    def candidate_noise(self, batch: int, generator: torch.Generator) -> Noise:
        """The random numbers of `candidates`."""
        return {"candidates": normal((batch, self.num_candidates, self.draws), generator)}

    def prior(self, bc: ContinuousDistribution, actor: SquashedGaussian | None, noise: Noise) -> WeightedActions:
        """Actions that stand for π_BC."""
        return sample_prior(bc, noise["prior"]) if actor is None else sample_mixture(bc, actor, noise["prior"])

    def target(self, bc: ContinuousDistribution, actor: SquashedGaussian | None, noise: Noise) -> WeightedActions:
        """Actions that stand for π_BC at the next states of a batch, on which the TD target is computed."""
        if actor is None or not self.on_policy:
            return self.prior(bc, actor, noise)
        return sample_policy(bc, actor, noise["prior"])

    def states_for_scale(self, obs: Tensor) -> Tensor:
        """The states of a batch at which the variance of Q is measured: some of all its parts."""
        return obs[::SCALE_STATES]

    def for_scale(self, bc: ContinuousDistribution, noise: Noise) -> WeightedActions:
        """Actions of π_BC, on which the variance of Q is measured.

        Actions of π_θ that are weighted would measure it on π_θ, the further that is from π_BC the more so.
        """
        return sample_prior(bc, noise["scale"])

    def variance(self, q: Tensor, log_weight: Tensor) -> Tensor:
        """The variance of Q over π_BC (B,) on weighted actions."""
        return sample_variance(q, log_weight)

    def space(self, policy: ContinuousDistribution, noise: Noise) -> WeightedActions:
        """Actions that stand for the whole action space at the states of a batch."""
        return sample_actions(policy, noise["space_uniform"], noise["space_normal"])

    def candidates(self, bc: ContinuousDistribution, noise: Noise) -> WeightedActions:
        """The candidates that π_final chooses from."""
        return sample_prior(bc, noise["candidates"])

    def mode(self, bc: ContinuousDistribution, score: Score) -> WeightedActions:
        """The mode of π_final alone: tanh(Σ_i p_i u_i), p ∝ exp(score), over latent candidates u of π_BC.

        The candidates are at fixed places on both sides of the mode of π_BC, so that the mode of π_final is a function
        of the state, and that of π_BC where all scores are the same. The best of N candidates would mostly be the mode
        of π_BC: in d dimensions a random direction gains less than the distance costs.
        """
        middle = bc.mode()
        # a shape, where `len` would fix the size of the batch in an exported policy
        draws = self._mode_draws.to(middle).expand(middle.shape[0], -1, -1)
        latent = bc.unsqueeze().latent(draws)
        weight = score(latent.tanh()).softmax(-1).unsqueeze(-1)
        action = (weight * latent).sum(1, keepdim=True).tanh()
        return WeightedActions(action, torch.zeros_like(action[..., 0]))

    def choose(self, policy: ContinuousDistribution, noise: Noise, deterministic: bool) -> Tensor:
        """The mode of `policy` for each state, or a sample."""
        return policy.mode() if deterministic else policy.sample(noise["action"])


class SampledActions(ContinuousActions):
    """Actions in [−1, 1]^d where π_BC is known by its samples alone."""

    def __init__(self, width: float, *arguments: Any) -> None:
        """`width` is that of the smoothed π_BC; the other arguments are those of `ContinuousActions`."""
        super().__init__(*arguments)
        self._width = width

    def space(self, policy: Any, noise: Noise) -> WeightedActions:
        """Actions that stand for the whole action space at the states of a batch."""
        base = policy.mode().unsqueeze(-2)
        return sample_smoothed(base, self._width, noise["space_uniform"], noise["space_normal"])

    def mode(self, bc: Any, score: Score) -> WeightedActions:
        """Samples, of which the mode of π_final is the best: the mean of several ways would be none of them."""
        middle = bc.mode()
        actions = bc.unsqueeze().sample(self._mode_draws.to(middle).expand(middle.shape[0], -1, -1))
        return WeightedActions(actions, score(actions))


ActionModel = DiscreteActions | ContinuousActions
