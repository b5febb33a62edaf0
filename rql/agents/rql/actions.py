"""What differs between discrete and continuous actions: which actions stand for an expectation, and their noise."""

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
)
from rql.nn.distributions import Categorical, ContinuousDistribution, SquashedGaussian, Uniform
from rql.utils.tree import replaced

DIAGNOSIS_SAMPLES = 8


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

    def target(
        self, bc: Categorical, actor: Categorical | None, noise: Noise
    ) -> tuple[WeightedActions, WeightedActions]:
        """Actions that stand for π_BC at the next states of a batch: for the target, and for the scale of Q."""
        weighted = enumerate_prior(bc)
        return weighted, weighted

    def space(self, policy: Categorical, noise: Noise) -> WeightedActions:
        """Actions that stand for the whole action space at the states of a batch."""
        return enumerate_actions(policy)

    def candidate_noise(self, batch: int, generator: torch.Generator) -> Noise:
        """The random numbers of `candidates`: none."""
        return {}

    def candidates(self, bc: Categorical, noise: Noise) -> WeightedActions:
        """The candidates that π_final chooses from."""
        return enumerate_prior(bc)

    def mode_candidates(self, bc: Categorical) -> tuple[WeightedActions, Tensor]:
        """The actions among which the mode of π_final is sought, and log π_BC (B, N)."""
        weighted = enumerate_prior(bc)
        return weighted, weighted.log_weight

    def choose(self, policy: Categorical, noise: Noise, deterministic: bool) -> Tensor:
        """The mode of `policy` for each state, or a sample."""
        return policy.mode() if deterministic else policy.sample(noise["uniform"])


class ContinuousActions:
    """Actions in [−1, 1]^d, sampled."""

    def __init__(self, dims: int, target_samples: int, cql_samples: int, candidates: int, on_policy: bool) -> None:
        """`candidates` is N of the resample composition; 0 where a network π_θ acts. `on_policy` asks for targets on
        actions of π_θ alone.
        """
        self.on_policy = on_policy
        self.dims, self.target_samples, self.cql_samples = dims, target_samples, cql_samples
        self.num_candidates = candidates
        self._mode_draws = torch.randn((candidates, dims), generator=torch.Generator().manual_seed(0))
        self._mode_draws[:1] = 0.0

    def update_noise(self, batch: int, conservative: bool, generator: torch.Generator) -> Noise:
        """The random numbers of one update; `conservative` asks for those of the CQL term too."""
        noise = {"prior": normal((batch, self.target_samples, self.dims), generator)}
        if conservative:
            noise["space_uniform"] = uniform((batch, self.cql_samples, self.dims), generator)
            noise["space_normal"] = normal((batch, self.cql_samples, self.dims), generator)
        return noise

    def diagnosis_noise(self, batch: int, generator: torch.Generator) -> Noise:
        """The random numbers of one `prior` with samples enough to tell something."""
        samples = max(self.target_samples, DIAGNOSIS_SAMPLES)
        return {"prior": normal((batch, samples, self.dims), generator)}

    def act_noise(self, batch: int, generator: torch.Generator) -> Noise:
        """The random numbers of one action for each of `batch` states."""
        noise = {"normal": normal((batch, self.dims), generator)}
        if self.num_candidates:
            noise |= self.candidate_noise(batch, generator)
            noise["uniform"] = uniform((batch, self.num_candidates), generator)
        return noise

    def candidate_noise(self, batch: int, generator: torch.Generator) -> Noise:
        """The random numbers of `candidates`."""
        return {"candidates": normal((batch, self.num_candidates, self.dims), generator)}

    def prior(self, bc: ContinuousDistribution, actor: SquashedGaussian | None, noise: Noise) -> WeightedActions:
        """Actions that stand for π_BC."""
        return sample_prior(bc, noise["prior"]) if actor is None else sample_mixture(bc, actor, noise["prior"])

    def target(
        self, bc: ContinuousDistribution, actor: SquashedGaussian | None, noise: Noise
    ) -> tuple[WeightedActions, WeightedActions]:
        """Actions that stand for π_BC at the next states of a batch: for the target, and for the scale of Q."""
        if actor is None or not self.on_policy:
            weighted = self.prior(bc, actor, noise)
            return weighted, weighted
        weighted = sample_policy(bc, actor, noise["prior"])
        return weighted, replaced(weighted, log_weight=weighted.log_weight.log_softmax(-1))

    def space(self, policy: ContinuousDistribution, noise: Noise) -> WeightedActions:
        """Actions that stand for the whole action space at the states of a batch."""
        return sample_actions(policy, noise["space_uniform"], noise["space_normal"])

    def candidates(self, bc: ContinuousDistribution, noise: Noise) -> WeightedActions:
        """The candidates that π_final chooses from."""
        return sample_prior(bc, noise["candidates"])

    def mode_candidates(self, bc: ContinuousDistribution) -> tuple[WeightedActions, Tensor]:
        """The actions among which the mode of π_final is sought, and log π_BC (B, N) up to a constant.

        They are the mode of π_BC and N − 1 others at fixed places, so that the mode is a function of the state. The
        density is that of the latent action: for β = 0 π_final and π_BC have one mode.
        """
        mode = bc.mode()
        draws = self._mode_draws.to(mode).expand(mode.shape[0], -1, -1)
        log_density = 0.0 if isinstance(bc, Uniform) else -0.5
        return sample_prior(bc, draws), log_density * draws.square().sum(-1)

    def choose(self, policy: ContinuousDistribution, noise: Noise, deterministic: bool) -> Tensor:
        """The mode of `policy` for each state, or a sample."""
        return policy.mode() if deterministic else policy.sample(noise["normal"])


ActionModel = DiscreteActions | ContinuousActions
