"""π_final as a bounded correction of actions that π_BC proposes: it takes samples of π_BC, and no density."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rql.agents.base import Noise, normal
from rql.agents.rql.actions import ContinuousActions
from rql.agents.rql.composition import Resampled, averaged
from rql.agents.rql.residual import RQLHyperparameters, RQLState
from rql.method.actions import WeightedActions
from rql.method.composition import correction_kl
from rql.method.losses import amortized_loss
from rql.nn.network import Params, apply, parameters_of
from rql.optim.adam import Loss, Metrics, descend


@dataclass(frozen=True)
class Corrected(Resampled):
    """π_θ(a|s) = E_{b ~ π_BC(·|s)} N(a; b + δ_θ(s,b), σ²), clipped to [−1, 1]^d, with |δ_θ| ≤ c.

    Its prior is the smoothed clone π_σ(a|s) = E_b N(a; b, σ²). By joint convexity KL(π_θ ‖ π_σ) is at most
    E_b |δ_θ(s,b)|² / 2σ², which takes its place in the loss, in targets and where β follows a budget. δ_θ is 0 at
    first, and the running average of its weights acts.
    """

    actions: ContinuousActions
    correction: nn.Module
    """δ_θ: (observations (…, obs_dim), actions (…, d)) → (…, d)."""
    width: float
    """σ."""

    def initial(self) -> Params:
        """The parameters of δ_θ, whose output is 0."""
        return parameters_of(self.correction)

    def update_noise(self, batch: int, measured: bool, generator: torch.Generator) -> Noise:
        """An action of π_θ, and what widens the actions of an update."""
        dims, draws = self.actions.dims, self.actions.draws
        noise = {"base": normal((batch, 1, draws), generator), "actor": normal((batch, 1, dims), generator)}
        noise["width"] = normal((batch, self.actions.target_samples, dims), generator)
        if self.actions.normalized:
            noise["scale_width"] = normal((*self.actions.scale_shape(batch), dims), generator)
        return noise

    def act_noise(self, batch: int, generator: torch.Generator) -> Noise:
        """The random numbers of one action for each of `batch` states."""
        action, width = ((batch, count) for count in (self.actions.draws, self.actions.dims))
        return {"action": normal(action, generator), "width": normal(width, generator)}

    def diagnosis_noise(self, batch: int, generator: torch.Generator) -> Noise:
        """Samples enough to tell something."""
        noise = self.actions.diagnosis_noise(batch, generator)
        return noise | {"width": normal((*noise["prior"].shape[:-1], self.actions.dims), generator)}

    def target_actions(self, state: RQLState, obs: Tensor, bc: Any, noise: Noise) -> WeightedActions:
        """Actions that stand for π_σ: its own, or with `target=policy` and `return` those of π_θ."""
        base = bc.unsqueeze().sample(noise["prior"])
        equal = torch.full_like(base[..., 0], -math.log(base.shape[-2]))
        if not self.actions.on_policy:
            return WeightedActions(self._widened(base, noise["width"]), equal)
        correction = self._correction(state.actor.params, obs, base)
        ratio = correction_kl(correction, self.width)
        return WeightedActions(self._widened(base + correction, noise["width"]), equal - ratio)

    def scale_actions(self, bc: Any, noise: Noise) -> WeightedActions:
        """Actions of π_σ, on which the variance of Q is measured."""
        base, log_weight = super().scale_actions(bc, noise)
        return WeightedActions(self._widened(base, noise["scale_width"]), log_weight)

    def follow(
        self, state: RQLState, obs: Tensor, bc: Any, noise: Noise, hparams: RQLHyperparameters, measured: bool
    ) -> tuple[RQLState, Metrics]:
        """One step of δ_θ towards π_final; `kl` is the bound of KL(π_θ ‖ π_σ)."""
        base, beta = bc.unsqueeze().sample(noise["base"]), self.residual.effective_beta(state)

        def loss(params: Params) -> Loss:
            correction = self._correction(params, obs, base)
            kl = correction_kl(correction, self.width).squeeze(-1)
            q = self.residual.q(state, obs, self._widened(base + correction, noise["actor"]))
            value = amortized_loss(q, kl, beta)
            return value, {"actor_loss": value, "kl": kl.mean(), "correction": correction.detach().abs().mean()}

        actor, metrics = descend(state.actor, loss, hparams.actor_learning_rate)
        return state._replace(actor=actor, average=averaged(state.average, actor, hparams)), metrics

    def act(self, state: RQLState, obs: Tensor, noise: Noise, deterministic: bool) -> Tensor:
        """The mode of π_BC, corrected; or a sample of π_BC, corrected and widened."""
        base = self.actions.choose(self.bc(state, obs, noise), noise, deterministic).unsqueeze(1)
        action = (base + self._correction(state.average, obs, base)).squeeze(1)
        return action.clamp(-1.0, 1.0) if deterministic else self._widened(action, noise["width"])

    def ranking(self, state: RQLState, obs: Tensor, noise: Noise) -> WeightedActions:
        """The corrected mode of π_BC alone."""
        action = self.act(state, obs, noise, deterministic=True).unsqueeze(1)
        return WeightedActions(action, torch.zeros_like(action[..., 0]))

    def diagnose(self, state: RQLState, obs: Tensor, bc: Any, noise: Noise) -> Metrics:
        """`q_policy` on samples of π_θ."""
        base = bc.unsqueeze().sample(noise["prior"])
        actions = self._widened(base + self._correction(state.actor.params, obs, base), noise["width"])
        return {"q_policy": self.residual.q(state, obs, actions).mean()}

    def _correction(self, params: Params, obs: Tensor, base: Tensor) -> Tensor:
        """δ_θ (B, N, d) at observations (B, obs_dim) and N actions of π_BC for each."""
        correction: Tensor = apply(self.correction, params, obs.unsqueeze(1).expand(-1, base.shape[1], -1), base)
        return correction

    def _widened(self, actions: Tensor, noise: Tensor) -> Tensor:
        return (actions + self.width * noise).clamp(-1.0, 1.0)
