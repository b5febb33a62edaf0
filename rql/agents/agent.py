"""One agent's pure functions: clone, update, act. The losses and equations are those of `rql.method`."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value

from rql.agents.actions import ActionModel
from rql.agents.state import AgentState, Hyperparameters, Metrics, Noise
from rql.data.batch import Batch
from rql.method.actions import WeightedActions, enumerate_prior
from rql.method.composition import effective_sample_share, kl_from_prior, prior_std
from rql.method.losses import amortized_loss, bc_loss, cql_loss, td_loss
from rql.method.schedules import adapt_beta
from rql.method.targets import expected_value, td_target
from rql.nn.distributions import Categorical, gumbel
from rql.optim.adam import Params, adam_step, learned, polyak

SCALE_RATE = 0.005
"""Weight of a new batch in the running scale of Q; higher at first, so that the mean has no bias."""

PolicyName = Literal["bc", "final"]
Aggregator = Callable[[Tensor, Noise], Tensor]
NextValue = Callable[[Tensor, Tensor, Tensor], Tensor]


class Agent:
    """Networks and named choices, fixed for a run; everything that changes is in an `AgentState`."""

    def __init__(
        self,
        prior: nn.Module,
        policy: nn.Module,
        critics: nn.Module,
        actions: ActionModel,
        next_value: NextValue,
        aggregate: Aggregator,
        aggregate_to_act: Callable[[Tensor], Tensor],
        subset_of: int,
        amortized: bool,
        normalize_q: bool,
        adaptive_beta: bool,
    ) -> None:
        """
        Args:
            prior: the network of π_BC; a `UniformPolicy` where nothing is cloned.
            policy: the network of π_θ; `prior` itself where π_θ starts as a copy of π_BC.
            critics: the ensemble Q_R, (E, B, N).
            actions: the supports of the action space.
            next_value: one of `rql.method.targets`.
            aggregate: from the ensemble to one value in an update.
            aggregate_to_act: the same where actions are chosen; draws nothing at random.
            subset_of: E where `aggregate` draws critics at random, otherwise 0.
            amortized: whether a network π_θ follows π_final.
            normalize_q: whether β multiplies Q divided by its running scale.
            adaptive_beta: whether β follows a KL budget.
        """
        self.prior, self.policy, self.critics, self.actions = prior, policy, critics, actions
        self.next_value, self.aggregate, self.aggregate_to_act = next_value, aggregate, aggregate_to_act
        self.subset_of, self.amortized = subset_of, amortized
        self.normalize_q, self.adaptive_beta = normalize_q, adaptive_beta

    @property
    def clones(self) -> bool:
        """Whether π_BC is learned from demonstrations."""
        return self.prior is self.policy

    def update_noise(self, batch: int, conservative: bool, generator: torch.Generator) -> Noise:
        """The random numbers of one `update`."""
        noise = self.actions.update_noise(batch, conservative, generator)
        if self.adaptive_beta and not self.amortized:
            noise |= self.actions.candidate_noise(batch, generator)
        if self.subset_of:
            noise["subset"] = torch.rand(self.subset_of, generator=generator, device=generator.device)
        return noise

    def act_noise(self, count: int, generator: torch.Generator) -> Noise:
        """The random numbers of one `act` at `count` observations."""
        return self.actions.act_noise(count, generator)

    def clone(self, state: AgentState, hparams: Hyperparameters, batch: Batch) -> tuple[AgentState, Metrics]:
        """One update of π_BC by behaviour cloning."""
        obs = state.normalizer(batch.obs)

        def loss(params: Params) -> Tensor:
            return bc_loss(functional_call(self.prior, params, (obs,)), batch.action)

        gradients, value = grad_and_value(loss)(state.bc.params)
        bc = adam_step(state.bc, gradients, hparams.bc_learning_rate)
        return state._replace(bc=bc), {"loss": value}

    def start_residual(self, state: AgentState) -> AgentState:
        """The state at the start of learning Q_R: π_θ is a copy of π_BC where that was cloned."""
        return state._replace(actor=learned(state.bc.params)) if self.amortized and self.clones else state

    def update(
        self, state: AgentState, hparams: Hyperparameters, batch: Batch, noise: Noise, conservative: bool
    ) -> tuple[AgentState, Metrics]:
        """One update of Q_R, of Q̄ and, when amortized, of π_θ, then of β where it is adaptive.

        `conservative` says whether the CQL term is computed at all; without it `hparams.alpha` is not read.
        """
        beta = state.beta if self.adaptive_beta else hparams.beta
        state, target, metrics = self._target(state._replace(beta=beta), hparams, batch, noise)
        state, critic_metrics = self._update_critic(state, hparams, batch, target, noise, conservative)
        metrics |= critic_metrics
        if self.amortized:
            state, actor_metrics = self._update_actor(state, hparams, batch, noise)
            metrics |= actor_metrics
        elif self.adaptive_beta:
            metrics["kl"] = self._composed(state, batch, self._candidates(state, batch, noise))["kl"]
        if self.adaptive_beta:
            adapted = adapt_beta(beta, metrics["kl"], hparams.kl_budget, hparams.kl_rate, hparams.kl_max_beta)
            state = state._replace(beta=adapted)
        return state, metrics | {"beta": beta, "q_scale": state.q_scale}

    def act(self, state: AgentState, obs: Tensor, noise: Noise, policy: PolicyName, deterministic: bool) -> Tensor:
        """Actions (B,) or (B, d) of π_BC or π_final at observations (B, obs_dim)."""
        obs = state.normalizer(obs)
        if policy == "final" and not self.amortized:
            weighted = self._scored(state, obs, None if deterministic else noise)
            best = weighted.log_weight.argmax(-1)
            # a shape, where `len` would fix the size of the batch in an exported policy
            return weighted.actions[torch.arange(obs.shape[0], device=obs.device), best]
        chosen = self._bc(state, obs) if policy == "bc" else self._actor(state.actor.params, obs)
        return chosen.mode() if deterministic else self.actions.sample(chosen, noise)

    def ranking(self, state: AgentState, obs: Tensor, policy: PolicyName) -> WeightedActions:
        """The actions of which the deterministic policy takes that of the highest `log_weight`, N = 1 where it has no
        choice, at observations (B, obs_dim).
        """
        obs = state.normalizer(obs)
        if policy == "final" and not self.amortized:
            return self._scored(state, obs, None)
        distribution = self._bc(state, obs) if policy == "bc" else self._actor(state.actor.params, obs)
        if isinstance(distribution, Categorical):
            return enumerate_prior(distribution)
        return WeightedActions(distribution.mode().unsqueeze(1), obs.new_zeros((len(obs), 1)))

    def diagnose_noise(self, batch: int, generator: torch.Generator) -> Noise:
        """The random numbers of one `diagnose`."""
        if self.amortized:
            return self.actions.diagnose_noise(batch, generator)
        return self.actions.candidate_noise(batch, generator)

    def diagnose(self, state: AgentState, batch: Batch, noise: Noise) -> Metrics:
        """What an update does not need to know of π_final at the states of a batch; see docs/metrics.md."""
        obs = state.normalizer(batch.obs)
        bc = self._bc(state, obs)
        if self.amortized:
            actor = self._actor(state.actor.params, obs)
            metrics = self._composed(state, batch, self.actions.prior(bc, actor, noise))
        else:
            metrics = self._composed(state, batch, self._candidates(state, batch, noise))
        if self.amortized or self.adaptive_beta:
            del metrics["kl"]  # every update measures it
        metrics["q_data"] = self.value(state, batch.obs, batch.action).mean()
        metrics["bc_log_prob"] = bc.log_prob(batch.action).mean()
        return metrics

    def value(self, state: AgentState, obs: Tensor, action: Tensor) -> Tensor:
        """Q_R (B,) at observations (B, obs_dim) and actions (B,) or (B, d), as it is seen where actions are chosen."""
        values = self._values(state.critic.params, state.normalizer(obs), action.unsqueeze(1))
        return self.aggregate_to_act(values).squeeze(-1)

    def _candidates(self, state: AgentState, batch: Batch, noise: Noise) -> WeightedActions:
        return self.actions.candidates(self._bc(state, state.normalizer(batch.obs)), noise)

    def _composed(self, state: AgentState, batch: Batch, weighted: WeightedActions) -> Metrics:
        """π_final on a weighted of π_BC at the states of a batch."""
        q = self.aggregate_to_act(self._values(state.critic.params, state.normalizer(batch.obs), weighted.actions))
        composed = (q, weighted.log_weight, self._effective_beta(state))
        return {
            "kl": kl_from_prior(*composed).mean(),
            "ess": effective_sample_share(*composed).mean(),
            "q_policy": expected_value(*composed).mean(),
        }

    def _scored(self, state: AgentState, obs: Tensor, noise: Noise | None) -> WeightedActions:
        """Candidates for an action of π_final, or for its mode where there is no noise; the best score is taken."""
        bc = self._bc(state, obs)
        if noise is None:
            weighted, log_prior = self.actions.mode_candidates(bc)
        else:
            weighted = self.actions.candidates(bc, noise)
            log_prior = weighted.log_weight + gumbel(noise["uniform"])
        q = self.aggregate_to_act(self._values(state.critic.params, obs, weighted.actions))
        return WeightedActions(weighted.actions, log_prior + self._effective_beta(state) * q)

    def _target(
        self, state: AgentState, hparams: Hyperparameters, batch: Batch, noise: Noise
    ) -> tuple[AgentState, Tensor, Metrics]:
        """The TD target y (B,), with the scale of Q brought up to date."""
        next_obs = state.normalizer(batch.next_obs)
        actor = self._actor(state.actor.params, next_obs) if self.amortized else None
        weighted, prior = self.actions.target(self._bc(state, next_obs), actor, noise)
        q = self.aggregate(self._values(state.target, next_obs, weighted.actions), noise)
        rate = (1.0 / (state.updates + 1.0)).clamp_min(SCALE_RATE)
        state = state._replace(
            q_scale=state.q_scale.lerp(prior_std(q, prior.log_weight).mean(), rate),
            updates=state.updates + 1.0,
        )
        effective = self._effective_beta(state)
        next_value = self.next_value(q, weighted.log_weight, effective)
        target = td_target(batch.reward, batch.terminated, next_value, hparams.discount**batch.steps)
        return state, target, {"target": target.mean()}

    def _update_critic(
        self,
        state: AgentState,
        hparams: Hyperparameters,
        batch: Batch,
        target: Tensor,
        noise: Noise,
        conservative: bool,
    ) -> tuple[AgentState, Metrics]:
        obs = state.normalizer(batch.obs)
        action = batch.action.unsqueeze(1)
        if conservative:
            behaviour = self._actor(state.actor.params, obs) if self.amortized else self._bc(state, obs)
            weighted = self.actions.space(behaviour, noise)
            action = torch.cat([action, weighted.actions], dim=1)

        def loss(params: Params) -> tuple[Tensor, Metrics]:
            q = self._values(params, obs, action)
            td = td_loss(q[..., 0], target)
            metrics = {"td_loss": td, "td_error": (q[..., 0] - target).abs().mean()}
            if not conservative:
                return td, metrics
            cql = cql_loss(q[..., 1:], weighted.log_weight, q[..., 0])
            return td + hparams.alpha * cql, metrics | {"cql_loss": cql, "alpha": hparams.alpha}

        gradients, (_, metrics) = grad_and_value(loss, has_aux=True)(state.critic.params)
        critic = adam_step(state.critic, gradients, hparams.critic_learning_rate)
        return state._replace(critic=critic, target=polyak(state.target, critic.params, hparams.tau)), metrics

    def _update_actor(
        self, state: AgentState, hparams: Hyperparameters, batch: Batch, noise: Noise
    ) -> tuple[AgentState, Metrics]:
        obs = state.normalizer(batch.obs)
        bc = self._bc(state, obs)
        effective = self._effective_beta(state)

        def loss(params: Params) -> tuple[Tensor, Metrics]:
            actor = self._actor(params, obs)
            latent = actor.unsqueeze().latent(noise["actor"])
            q = self.aggregate_to_act(self._values(state.critic.params, obs, latent.tanh()))
            kl = bc.kl_of(actor, latent.squeeze(1))
            value = amortized_loss(q, kl, effective)
            return value, {"actor_loss": value, "kl": kl.mean()}

        gradients, (_, metrics) = grad_and_value(loss, has_aux=True)(state.actor.params)
        return state._replace(actor=adam_step(state.actor, gradients, hparams.actor_learning_rate)), metrics

    def _effective_beta(self, state: AgentState) -> Tensor:
        """What multiplies Q: β, divided by the scale of Q when that is normalised."""
        return state.beta / state.q_scale.clamp_min(1e-6) if self.normalize_q else state.beta

    def _bc(self, state: AgentState, obs: Tensor) -> Any:
        return functional_call(self.prior, state.bc.params, (obs,))

    def _actor(self, params: Params, obs: Tensor) -> Any:
        return functional_call(self.policy, params, (obs,))

    def _values(self, params: Params, obs: Tensor, actions: Tensor) -> Tensor:
        values: Tensor = functional_call(self.critics, params, (obs, actions))
        return values
