"""Residual Q-learning: clone π_BC, learn Q_R by TD with a conservative term, act with π_final ∝ π_BC · exp(β Q_R).

docs/explanation/method.md has the equations, and the estimators with their biases.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from rql.agents.base import AgentPolicy, Diagnosis, Noise, TrainingStage, unchanged
from rql.agents.rql.actions import ActionModel
from rql.agents.rql.baseline import NoBaseline
from rql.agents.rql.composition import Amortized, Resampled, single_mode
from rql.agents.rql.residual import Residual, RQLHyperparameters, RQLState, with_variance
from rql.agents.rql.schedule import RQLSchedule
from rql.agents.statistics import Statistics
from rql.config.agents.base import StageInfo
from rql.data.batch import ACTION_MASK, NEXT_PROPOSALS, Batch
from rql.data.columns import PROPOSALS
from rql.method.actions import WeightedActions
from rql.method.losses import cql_loss, td_loss
from rql.method.schedules import adapt_beta
from rql.method.targets import td_target
from rql.nn.network import Params, parameters_of
from rql.optim.adam import Loss, Metrics, descend, learned
from rql.optim.polyak import polyak

NextValue = Callable[[Tensor, Tensor, Tensor], Tensor]
"""One of the functions of `rql.method.targets`: (q, log_weight, β) → the value of the next state."""


class RQL:
    """The agent of residual Q-learning."""

    def __init__(
        self,
        residual: Residual,
        baseline: NoBaseline,
        actions: ActionModel,
        composition: Resampled,
        next_value: NextValue,
        adaptive_beta: bool,
        schedule: RQLSchedule,
        critic_updates: int,
        stages: Sequence[StageInfo],
    ) -> None:
        """`adaptive_beta` says whether β follows a KL budget; otherwise it is that of `schedule`. Online, one update of
        `critic_updates` is one of π_θ and β too.
        """
        self.critic_updates, self.infos = critic_updates, stages
        self.needs: frozenset[str] = residual.prior.needs
        self.residual, self.baseline = residual, baseline
        self.actions, self.composition = actions, composition
        self.next_value, self.adaptive_beta, self.schedule = next_value, adaptive_beta, schedule

    @property
    def stages(self) -> Sequence[TrainingStage[RQLState]]:
        """Cloning, Q_R offline, finetuning online."""
        cloning, offline, online = self.infos
        learning = TrainingStage(offline, (self.update,), self.update_noise, self.start_residual, self.diagnosis)
        cycle = (*(self.update_residual,) * (self.critic_updates - 1), self.update)
        return (
            TrainingStage(cloning, (self.clone,), self.clone_noise, n_step=self.baseline.n_step),
            learning,
            replace(learning, info=online, cycle=cycle, enter=unchanged, warmup_policy="bc"),
        )

    @property
    def policies(self) -> Mapping[str, AgentPolicy[RQLState]]:
        """π_BC and π_final."""
        prior, noise = self.residual.prior, self.composition.act_noise
        cloned = prior.dense and bool(prior.initial())
        of_bc = (lambda state: state.bc.params) if cloned else None
        of_final = (lambda state: state.average) if isinstance(self.composition, Amortized) else None
        return {
            "bc": AgentPolicy(self.act_bc, self.actions.act_noise, None, self.rank_bc, of_bc),
            "final": AgentPolicy(self.act_final, noise, self.value, self.rank_final, of_final),
        }

    @property
    def diagnosis(self) -> Diagnosis[RQLState]:
        """Metrics of π_final that an update does not need; see docs/reference/metrics.md."""
        return Diagnosis(self.diagnose, self.composition.diagnosis_noise)

    def init(self, statistics: Statistics) -> RQLState:
        """The state before any update."""
        critic, actor = learned(parameters_of(self.residual.critics)), learned(self.composition.initial())
        device = statistics.normalizer.mean.device
        return RQLState(
            normalizer=statistics.normalizer,
            bc=learned(self.residual.prior.initial() if statistics.adopted is None else statistics.adopted),
            baseline=learned(self.baseline.initial()),
            returns=self.baseline.returns(statistics),
            critic=critic,
            target=critic.params,
            actor=actor,
            average=actor.params,
            q_scale=torch.ones((), device=device),
            beta=torch.tensor(self.schedule.first_beta, device=device),
            updates=torch.zeros((), device=device),
        )

    def hparams(self, stage: str, step: int) -> RQLHyperparameters:
        """β, α_CQL, the learning rates, γ and τ at a step of a stage."""
        return self.schedule.online(step) if stage == "online" else self.schedule.offline()

    def scheduled(self, state: RQLState, hparams: RQLHyperparameters) -> RQLState:
        """The state with the β of the schedule."""
        return state if self.adaptive_beta else state._replace(beta=hparams.beta)

    def clone_noise(self, batch: int, hparams: RQLHyperparameters, generator: torch.Generator) -> Noise:
        """The random numbers of one `clone`."""
        return self.residual.prior.noise(batch, generator)

    def clone(
        self, state: RQLState, batch: Batch, noise: Noise, hparams: RQLHyperparameters
    ) -> tuple[RQLState, Metrics]:
        """One update of π_BC by behaviour cloning, and of V_BC where it is learned."""
        obs = state.normalizer(batch.obs)

        def loss(params: Params) -> Loss:
            value = self.residual.prior.loss(params, obs, batch.action, batch.extra.get(ACTION_MASK), noise)
            return value, {"loss": value}

        bc, metrics = descend(state.bc, loss, hparams.bc_learning_rate)
        state, of_baseline = self.baseline.learn(state._replace(bc=bc), batch, obs, hparams)
        return state, metrics | of_baseline

    def start_residual(self, state: RQLState) -> RQLState:
        """The state as learning Q_R begins."""
        actor = self.composition.enter(state.bc, state.actor)
        return state._replace(actor=actor, average=actor.params)

    def update_noise(self, batch: int, hparams: RQLHyperparameters, generator: torch.Generator) -> Noise:
        """The random numbers of one `update`."""
        noise = self.actions.update_noise(batch, hparams.alpha is not None, generator)
        noise |= self.composition.update_noise(batch, self.adaptive_beta, generator)
        if self.residual.ensemble.subset:
            critics = self.residual.ensemble.size
            noise["subset"] = torch.rand(critics, generator=generator, device=generator.device)
        return noise

    def update(
        self, state: RQLState, batch: Batch, noise: Noise, hparams: RQLHyperparameters
    ) -> tuple[RQLState, Metrics]:
        """One update of Q_R and Q̄, of π_θ where there is one, then of β where it follows a KL budget."""
        beta = self.scheduled(state, hparams).beta
        state, metrics = self.update_residual(state, batch, noise, hparams)
        obs = state.normalizer(batch.obs)
        bc = self.residual.bc(state, obs, batch.extra.get(PROPOSALS))
        state, of_policy = self.composition.follow(state, obs, bc, noise, hparams, measured=self.adaptive_beta)
        metrics |= of_policy
        if self.adaptive_beta:
            adapted = adapt_beta(beta, metrics["kl"], hparams.kl_budget, hparams.kl_rate, hparams.kl_max_beta)
            state = state._replace(beta=adapted)
        return state, metrics

    def update_residual(
        self, state: RQLState, batch: Batch, noise: Noise, hparams: RQLHyperparameters
    ) -> tuple[RQLState, Metrics]:
        """One update of Q_R and Q̄ alone."""
        state, batch = self.scheduled(state, hparams), self._completed(state, batch)
        target, metrics = self._target(state, batch, noise, hparams)
        state, of_critic = self._update_critic(state, batch, target, noise, hparams)
        metrics |= of_critic | {"beta": state.beta}
        if self.residual.normalize_q:
            state = with_variance(state, self._variance(state, batch, noise))
            metrics["q_scale"] = state.q_scale
        return state._replace(updates=state.updates + 1.0), metrics

    def act_bc(self, state: RQLState, obs: Tensor, noise: Noise, deterministic: bool) -> Tensor:
        """Actions (B,) or (B, d) of π_BC at observations (B, obs_dim)."""
        return self.actions.choose(self.composition.bc(state, state.normalizer(obs), noise), noise, deterministic)

    def act_final(self, state: RQLState, obs: Tensor, noise: Noise, deterministic: bool) -> Tensor:
        """Actions (B,) or (B, d) of π_final at observations (B, obs_dim)."""
        return self.composition.act(state, state.normalizer(obs), noise, deterministic)

    def rank_bc(self, state: RQLState, obs: Tensor, noise: Noise) -> WeightedActions:
        """The actions among which the mode of π_BC is."""
        obs = state.normalizer(obs)
        return single_mode(self.composition.bc(state, obs, noise), obs)

    def rank_final(self, state: RQLState, obs: Tensor, noise: Noise) -> WeightedActions:
        """The actions among which the mode of π_final is."""
        return self.composition.ranking(state, state.normalizer(obs), noise)

    def value(self, state: RQLState, obs: Tensor, action: Tensor) -> Tensor:
        """Q = V_BC + Q_R (B,) at observations (B, obs_dim) and actions (B,) or (B, d), a discounted return.

        Q_R is as it is seen where actions are chosen.
        """
        obs = state.normalizer(obs)
        q = self.residual.q(state, obs, action.unsqueeze(1)).squeeze(-1)
        return state.returns.std * (self.baseline.value(state, obs) + q)

    def diagnose(self, state: RQLState, batch: Batch, noise: Noise) -> Metrics:
        """Metrics of π_final and Q_R at the states of a batch."""
        obs, batch = state.normalizer(batch.obs), self._completed(state, batch)
        bc = self.residual.bc(state, obs, batch.extra.get(PROPOSALS))
        metrics = self.composition.diagnose(state, obs, bc, noise)
        if self.adaptive_beta:
            metrics.pop("kl", None)  # every update measures it
        metrics["q_policy"] = state.returns.std * (self.baseline.value(state, obs).mean() + metrics["q_policy"])
        metrics["q_data"] = self.value(state, batch.obs, batch.action).mean()
        if self.residual.prior.dense:
            metrics["bc_log_prob"] = bc.log_prob(batch.action).mean()
        return metrics

    def _completed(self, state: RQLState, batch: Batch) -> Batch:
        """The batch with actions of π_BC where those of a decision go beyond the end of an episode.

        They change nothing, and Q_R must not know the end by them: π_BC would have planned them.
        """
        mask = batch.extra.get(ACTION_MASK)
        if mask is None:
            return batch
        planned = self.residual.bc(state, state.normalizer(batch.obs), batch.extra.get(PROPOSALS)).mode()
        return batch._replace(action=torch.where(mask > 0, batch.action, planned))

    def _target(
        self, state: RQLState, batch: Batch, noise: Noise, hparams: RQLHyperparameters
    ) -> tuple[Tensor, Metrics]:
        """The TD target of Q_R (B,).

        y = r + γ^k (1−terminated) (V_BC(s') + V_R(s')) − V_BC(s), in the unit of Q_R.
        """
        next_obs = state.normalizer(batch.next_obs)
        bc = self.residual.bc(state, next_obs, batch.extra.get(NEXT_PROPOSALS))
        weighted = self.composition.target_actions(state, next_obs, bc, noise)
        q = self.residual.ensemble.for_target(self.residual.values(state.target, next_obs, weighted.actions), noise)
        next_value = self.next_value(q, weighted.log_weight, self.residual.effective_beta(state))
        next_value = next_value + self.baseline.value(state, next_obs)
        reward = batch.reward / state.returns.std
        target = td_target(reward, batch.terminated, next_value, hparams.discount**batch.steps)
        metrics = {"target": state.returns.std * target.mean()}
        return target - self.baseline.value(state, state.normalizer(batch.obs)), metrics

    def _variance(self, state: RQLState, batch: Batch, noise: Noise) -> Tensor:
        """The mean variance of Q_R(s,a) over a ~ π_BC at states of a batch."""
        obs, proposals = self.actions.states_for_scale(state.normalizer(batch.obs)), batch.extra.get(PROPOSALS)
        if proposals is not None:
            proposals = self.actions.states_for_scale(proposals)
        weighted = self.composition.scale_actions(self.residual.bc(state, obs, proposals), noise)
        q = self.residual.q(state, obs, weighted.actions)
        return self.actions.variance(q, weighted.log_weight).mean()

    def _update_critic(
        self, state: RQLState, batch: Batch, target: Tensor, noise: Noise, hparams: RQLHyperparameters
    ) -> tuple[RQLState, Metrics]:
        """One step of Q_R down L_TD + α_CQL · L_CQL, and of Q̄ towards it."""
        obs, alpha = state.normalizer(batch.obs), hparams.alpha
        action, space = batch.action.unsqueeze(1), None
        if alpha is not None:
            actor = self.composition.actor(state, obs)
            bc = self.residual.bc(state, obs, batch.extra.get(PROPOSALS))
            space = self.actions.space(bc if actor is None else actor, noise)
            action = torch.cat([action, space.actions], dim=1)

        def loss(params: Params) -> Loss:
            q = self.residual.values(params, obs, action)
            td = td_loss(q[..., 0], target)
            metrics = {"td_loss": td, "td_error": (q[..., 0] - target).abs().mean()}
            if alpha is None or space is None:
                return td, metrics
            cql = cql_loss(q[..., 1:], space.log_weight, q[..., 0])
            return td + alpha * cql, metrics | {"cql_loss": cql, "alpha": alpha}

        critic, metrics = descend(state.critic, loss, hparams.critic_learning_rate, hparams.max_gradient_norm)
        return state._replace(critic=critic, target=polyak(state.target, critic.params, hparams.tau)), metrics
