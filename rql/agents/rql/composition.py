"""How π_final ∝ π_BC · exp(β Q_R) is sampled: over candidates, or by a network π_θ that follows it."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rql.agents.base import Noise, normal
from rql.agents.rql.actions import ActionModel, ContinuousActions
from rql.agents.rql.residual import Residual, RQLHyperparameters, RQLState
from rql.data.columns import PROPOSALS
from rql.method.actions import WeightedActions, enumerate_prior
from rql.method.losses import amortized_loss
from rql.nn.distributions import Categorical, gumbel
from rql.nn.network import Params, apply, parameters_of
from rql.optim.adam import Learned, Loss, Metrics, descend, learned
from rql.optim.polyak import polyak

AVERAGED = 0.1
"""The share of the updates of π_θ so far over which its weights are averaged at most: early ones are soon forgotten."""


@dataclass(frozen=True)
class Resampled:
    """Candidates of π_BC, of which softmax(log π_BC + β Q_R) takes one. With discrete actions, all are there.

    Observations are normalised ones everywhere in this module, and `bc` is π_BC(·|s) at them.
    """

    residual: Residual
    actions: ActionModel

    def initial(self) -> Params:
        """The parameters of π_θ before anything was learned; empty, for there is none."""
        return {}

    def enter(self, bc: Learned, actor: Learned) -> Learned:
        """π_θ as learning Q_R begins."""
        return actor

    def actor(self, state: RQLState, obs: Tensor) -> Any:
        """π_θ(·|s); None, for there is none."""
        return None

    def update_noise(self, batch: int, measured: bool, generator: torch.Generator) -> Noise:
        """The random numbers of one `follow`: candidates, where the KL is measured on them."""
        return self.actions.candidate_noise(batch, generator) if measured else {}

    def act_noise(self, batch: int, generator: torch.Generator) -> Noise:
        """The random numbers of one action for each of `batch` states."""
        return self.actions.act_noise(batch, generator)

    def target_actions(self, state: RQLState, obs: Tensor, bc: Any, noise: Noise) -> WeightedActions:
        """Actions that stand for π_BC, on which the TD target is computed."""
        return self.actions.target(bc, self.actor(state, obs), noise)

    def scale_actions(self, bc: Any, noise: Noise) -> WeightedActions:
        """Actions of π_BC, on which the variance of Q is measured."""
        return self.actions.for_scale(bc, noise)

    def follow(
        self, state: RQLState, obs: Tensor, bc: Any, noise: Noise, hparams: RQLHyperparameters, measured: bool
    ) -> tuple[RQLState, Metrics]:
        """What follows an update of Q_R: nothing, or the metric `kl` where it is `measured`."""
        return state, {"kl": self.diagnose(state, obs, bc, noise)["kl"]} if measured else {}

    def act(self, state: RQLState, obs: Tensor, noise: Noise, deterministic: bool) -> Tensor:
        """Actions of π_final: the best candidate by its score, which for a sample has Gumbel noise."""
        weighted = self.ranking(state, obs, noise) if deterministic else self._scored(state, obs, noise)
        best = weighted.log_weight.argmax(-1)
        # a shape, where `len` would fix the size of the batch in an exported policy
        return weighted.actions[torch.arange(obs.shape[0], device=obs.device), best]

    def ranking(self, state: RQLState, obs: Tensor, noise: Noise) -> WeightedActions:
        """The actions of which the mode of π_final is the one with the highest `log_weight`."""
        beta, bc = self.residual.effective_beta(state), self.bc(state, obs, noise)
        return self.actions.mode(bc, lambda actions: beta * self.residual.q(state, obs, actions))

    def diagnosis_noise(self, batch: int, generator: torch.Generator) -> Noise:
        """The random numbers of one `diagnose`: candidates."""
        return self.actions.candidate_noise(batch, generator)

    def diagnose(self, state: RQLState, obs: Tensor, bc: Any, noise: Noise) -> Metrics:
        """The metrics `kl`, `ess` and `q_policy`, on candidates."""
        return self.residual.measure(state, obs, self.actions.candidates(bc, noise))

    def bc(self, state: RQLState, obs: Tensor, noise: Noise) -> Any:
        """π_BC(·|s) where an action is chosen; of another policy, what it proposes there."""
        return self.residual.bc(state, obs, noise.get(PROPOSALS))

    def _scored(self, state: RQLState, obs: Tensor, noise: Noise) -> WeightedActions:
        """Candidates with their scores, of which the highest is a sample of π_final."""
        weighted = self.actions.candidates(self.bc(state, obs, noise), noise)
        q = self.residual.q(state, obs, weighted.actions)
        score = weighted.log_weight + self.residual.effective_beta(state) * q
        return WeightedActions(weighted.actions, score + gumbel(noise["uniform"]))


@dataclass(frozen=True)
class Amortized(Resampled):
    """A network π_θ that minimises KL(π_θ ‖ π_final). It starts as a copy of π_BC where that was cloned.

    π̄_θ acts, the running average of its weights: from one update to the next π_θ moves with the noise of Q_R.
    """

    actions: ContinuousActions
    policy: nn.Module
    """The network of π_θ; that of π_BC where π_θ starts as its copy."""

    def initial(self) -> Params:
        """The parameters as they were drawn."""
        return parameters_of(self.policy)

    def enter(self, bc: Learned, actor: Learned) -> Learned:
        """A copy of π_BC, unless that is a fixed distribution."""
        return learned(bc.params) if self.residual.prior.network is self.policy else actor

    def actor(self, state: RQLState, obs: Tensor) -> Any:
        """π_θ(·|s)."""
        return apply(self.policy, state.actor.params, obs)

    def update_noise(self, batch: int, measured: bool, generator: torch.Generator) -> Noise:
        """A reparameterised action of π_θ."""
        return {"actor": normal((batch, 1, self.actions.dims), generator)}

    def follow(
        self, state: RQLState, obs: Tensor, bc: Any, noise: Noise, hparams: RQLHyperparameters, measured: bool
    ) -> tuple[RQLState, Metrics]:
        """One step of π_θ towards π_final; `kl` is KL(π_θ ‖ π_BC)."""
        beta = self.residual.effective_beta(state)

        def loss(params: Params) -> Loss:
            actor = apply(self.policy, params, obs)
            latent = actor.unsqueeze().latent(noise["actor"])
            kl = bc.kl_of(actor, latent.squeeze(1))
            value = amortized_loss(self.residual.q(state, obs, latent.tanh()), kl, beta)
            return value, {"actor_loss": value, "kl": kl.mean()}

        actor, metrics = descend(state.actor, loss, hparams.actor_learning_rate)
        return state._replace(actor=actor, average=averaged(state.average, actor, hparams)), metrics

    def act(self, state: RQLState, obs: Tensor, noise: Noise, deterministic: bool) -> Tensor:
        """The mode of π̄_θ, or a sample; π_BC is not asked."""
        return self.actions.choose(self._average(state, obs), noise, deterministic)

    def ranking(self, state: RQLState, obs: Tensor, noise: Noise) -> WeightedActions:
        """The mode of π̄_θ alone."""
        return single_mode(self._average(state, obs), obs)

    def diagnosis_noise(self, batch: int, generator: torch.Generator) -> Noise:
        """Samples enough to tell something."""
        return self.actions.diagnosis_noise(batch, generator)

    def diagnose(self, state: RQLState, obs: Tensor, bc: Any, noise: Noise) -> Metrics:
        """`ess` and `q_policy` on samples of π_BC and π_θ."""
        weighted = self.actions.prior(bc, self.actor(state, obs), noise)
        metrics = self.residual.measure(state, obs, weighted)
        del metrics["kl"]  # every update has the exact one
        return metrics

    def _average(self, state: RQLState, obs: Tensor) -> Any:
        """π̄_θ(·|s)."""
        return apply(self.policy, state.average, obs)


def averaged(average: Params, actor: Learned, hparams: RQLHyperparameters) -> Params:
    """The running average of the weights of π_θ, brought up to date."""
    rate = torch.maximum(hparams.average_rate, 1.0 / (1.0 + AVERAGED * actor.steps))
    return polyak(average, actor.params, rate)


def single_mode(distribution: Any, obs: Tensor) -> WeightedActions:
    """The mode of a distribution at observations (B, obs_dim) as a ranking: all actions where they are discrete."""
    if isinstance(distribution, Categorical):
        return enumerate_prior(distribution)
    return WeightedActions(distribution.mode().unsqueeze(1), obs.new_zeros((len(obs), 1)))
