"""ResFiT (Ankile et al. 2025): TD3 learns a bounded correction of the actions of a clone that stays as it is."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rql.agents.base import AgentPolicy, Noise, TrainingStage, normal, scalars, uniform
from rql.agents.bc import BC
from rql.agents.networks import build_correction, build_critics, continuous_actions, ensemble_of
from rql.agents.statistics import Statistics
from rql.config.agents.resfit import ResFiTConfig
from rql.config.schema import Config
from rql.data.batch import Batch
from rql.envs.spaces import Spaces
from rql.method.losses import td_loss
from rql.method.targets import td_target
from rql.nn.network import Params, apply, parameters_of, starting_at_zero
from rql.nn.normalizer import Normalizer
from rql.optim.adam import Learned, Loss, Metrics, descend, learned
from rql.optim.polyak import polyak


class ResFiTState(NamedTuple):
    """All of the agent that changes."""

    normalizer: Normalizer
    bc: Learned
    """π_BC, which nothing changes once it is cloned."""
    actor: Learned
    """The correction δ."""
    actor_target: Params
    critic: Learned
    critic_target: Params
    updates: Tensor


class ResFiTHyperparameters(NamedTuple):
    """The numbers of an update, all scalars."""

    bc_learning_rate: Tensor
    actor_learning_rate: Tensor
    critic_learning_rate: Tensor
    max_gradient_norm: Tensor
    discount: Tensor
    tau: Tensor
    noise: Tensor
    noise_clip: Tensor


class ResFiT:
    """Learns Q of π(s) = b + δ(s, b), where b is the mode of π_BC(·|s), and δ up that Q."""

    needs: frozenset[str] = frozenset()

    def __init__(self, config: Config, spaces: Spaces, device: torch.device, learning_rate_scale: float) -> None:
        """Build the networks. Weights are drawn from torch's global generator.

        Raises:
            ConfigError: if the actions are discrete, or a network does not fit into memory.
        """
        own, critic = config.agent, config.network.critic
        assert isinstance(own, ResFiTConfig)
        self.dims = continuous_actions(config, spaces).width
        self.clone: Any = BC(config, spaces, device, learning_rate_scale)
        self.correction = starting_at_zero(build_correction(config.network.actor, spaces, own.scale, device))
        self.critics, self.ensemble = build_critics(critic, spaces, device), ensemble_of(critic)
        self.critic_updates, self.critic_steps, self.noise = max(1, int(config.online.utd)), own.critic_steps, own.noise
        rates = config.bc.learning_rate, own.actor_learning_rate, config.q.learning_rate
        numbers = config.q.max_gradient_norm, config.q.discount, config.q.tau, own.noise, own.noise_clip
        self._hparams = ResFiTHyperparameters(
            *scalars(device, *(learning_rate_scale * rate for rate in rates), *numbers)
        )

    @property
    def stages(self) -> Sequence[TrainingStage[ResFiTState]]:
        """Cloning, then online; δ learns at the last of the updates of an environment step."""
        cloning, online = ResFiTConfig.stages
        cycle = (*[self.update_critic] * (self.critic_updates - 1), self.update)
        return [
            TrainingStage(cloning, (self.clone.update,), self.clone.update_noise),
            TrainingStage(online, cycle, self.update_noise, warmup_policy="bc"),
        ]

    @property
    def policies(self) -> Mapping[str, AgentPolicy[ResFiTState]]:
        """π_BC, and π."""
        return {
            "bc": self.clone.policies["bc"],
            "policy": AgentPolicy(self.act, self.act_noise, self.value),
        }

    def init(self, statistics: Statistics) -> ResFiTState:
        """The state before any update."""
        clone = self.clone.init(statistics)
        actor, critic = learned(parameters_of(self.correction)), learned(parameters_of(self.critics))
        return ResFiTState(clone.normalizer, clone.bc, actor, actor.params, critic, critic.params, clone.updates)

    def hparams(self, stage: str, step: int) -> ResFiTHyperparameters:
        """The hyper-parameters; δ stands still in the first steps online."""
        if stage == "online" and step < self.critic_steps:
            return self._hparams._replace(actor_learning_rate=torch.zeros_like(self._hparams.actor_learning_rate))
        return self._hparams

    def scheduled(self, state: ResFiTState, hparams: ResFiTHyperparameters) -> ResFiTState:
        """The state as it is: nothing is scheduled."""
        return state

    def update_noise(self, batch: int, hparams: ResFiTHyperparameters, generator: torch.Generator) -> Noise:
        """The random numbers of one update: the noise on the actions of targets, and of the critics drawn."""
        noise = {"target": normal((batch, self.dims), generator)}
        return noise | ({"subset": uniform((self.ensemble.size,), generator)} if self.ensemble.subset else {})

    def update_critic(
        self, state: ResFiTState, batch: Batch, noise: Noise, hparams: ResFiTHyperparameters
    ) -> tuple[ResFiTState, Metrics]:
        """One update of Q and Q̄: E[ (r + γ Q̄(s', π̄(s') + ε) − Q(s,a))² ] with clipped noise ε."""
        obs, next_obs = state.normalizer(batch.obs), state.normalizer(batch.next_obs)
        smoothing = (hparams.noise * noise["target"]).clamp(-hparams.noise_clip, hparams.noise_clip)
        next_action = (self._corrected(state, state.actor_target, next_obs) + smoothing).clamp(-1.0, 1.0)
        next_value = self.ensemble.for_target(self._q(state.critic_target, next_obs, next_action), noise)
        target = td_target(batch.reward, batch.terminated, next_value, hparams.discount**batch.steps)

        def loss(params: Params) -> Loss:
            values = self._q(params, obs, batch.action)
            value = td_loss(values, target)
            return value, {"td_loss": value, "td_error": (values - target).abs().mean(), "q_data": values.mean()}

        critic, metrics = descend(state.critic, loss, hparams.critic_learning_rate, hparams.max_gradient_norm)
        bar = polyak(state.critic_target, critic.params, hparams.tau)
        state = state._replace(critic=critic, critic_target=bar, updates=state.updates + 1.0)
        return state, metrics | {"target": target.mean()}

    def update(
        self, state: ResFiTState, batch: Batch, noise: Noise, hparams: ResFiTHyperparameters
    ) -> tuple[ResFiTState, Metrics]:
        """One update of Q, then of δ down −E[ Q(s, π(s)) ], and of their targets."""
        state, metrics = self.update_critic(state, batch, noise, hparams)
        obs = state.normalizer(batch.obs)
        base = self._base(state, obs)

        def loss(params: Params) -> Loss:
            correction = apply(self.correction, params, obs, base)
            q = self.ensemble.for_acting(self._q(state.critic.params, obs, (base + correction).clamp(-1.0, 1.0))).mean()
            return -q, {"actor_loss": -q, "q_policy": q, "correction": correction.abs().mean()}

        actor, of_actor = descend(state.actor, loss, hparams.actor_learning_rate, hparams.max_gradient_norm)
        bar = polyak(state.actor_target, actor.params, hparams.tau)
        return state._replace(actor=actor, actor_target=bar), metrics | of_actor

    def act(self, state: ResFiTState, obs: Tensor, noise: Noise, deterministic: bool) -> Tensor:
        """Actions (B, d) at observations (B, obs_dim); a sample has noise."""
        action = self._corrected(state, state.actor.params, state.normalizer(obs))
        return (action if deterministic else action + self.noise * noise["action"]).clamp(-1.0, 1.0)

    def act_noise(self, count: int, generator: torch.Generator) -> Noise:
        """The random numbers of one `act` at `count` observations."""
        return {"action": normal((count, self.dims), generator)}

    def value(self, state: ResFiTState, obs: Tensor, action: Tensor) -> Tensor:
        """Q (B,) of actions at observations (B, obs_dim)."""
        return self.ensemble.for_acting(self._q(state.critic.params, state.normalizer(obs), action))

    def _base(self, state: ResFiTState, obs: Tensor) -> Tensor:
        """b (B, d), the mode of π_BC at normalised observations."""
        base: Tensor = self.clone.prior.at(state.bc.params, obs, None).mode()
        return base

    def _corrected(self, state: ResFiTState, params: Params, obs: Tensor) -> Tensor:
        """b + δ(s, b) (B, d) at normalised observations."""
        base = self._base(state, obs)
        corrected: Tensor = base + apply(self.correction, params, obs, base)
        return corrected

    def _q(self, params: Params, obs: Tensor, action: Tensor) -> Tensor:
        """Q of each critic (E, B)."""
        values: Tensor = apply(self.critics, params, obs, action.unsqueeze(1))
        return values.squeeze(-1)
