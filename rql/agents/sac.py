"""Soft actor-critic (Haarnoja et al. 2018b) with a temperature that holds the entropy of the policy at a target."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rql.agents.base import AgentPolicy, Noise, TrainingStage, normal, scalars, uniform
from rql.agents.networks import build_critics, build_policy, continuous_actions, ensemble_of
from rql.agents.statistics import Statistics
from rql.config.agents.sac import SACConfig
from rql.config.networks import PolicyConfig
from rql.config.schema import Config
from rql.data.batch import Batch
from rql.envs.spaces import Spaces
from rql.method.losses import td_loss
from rql.method.targets import td_target
from rql.nn.network import Params, apply, parameters_of
from rql.nn.normalizer import Normalizer
from rql.optim.adam import Learned, Loss, Metrics, descend, learned
from rql.optim.polyak import polyak


class SACState(NamedTuple):
    """All of the agent that changes."""

    normalizer: Normalizer
    actor: Learned
    critic: Learned
    target: Params
    """Q̄."""
    temperature: Learned
    """log α."""
    updates: Tensor


class SACHyperparameters(NamedTuple):
    """The numbers of an update, all scalars."""

    actor_learning_rate: Tensor
    critic_learning_rate: Tensor
    temperature_learning_rate: Tensor
    discount: Tensor
    tau: Tensor
    target_entropy: Tensor
    penalty: Tensor | None = None
    """Weight of what CQL, Cal-QL and EDAC add to the loss of the critics; None where nothing is added."""


class SAC:
    """Learns Q by TD with the entropy of the policy as a reward, and a policy that is drawn to softmax(Q/α)."""

    needs: frozenset[str] = frozenset()

    def __init__(self, config: Config, spaces: Spaces, device: torch.device, learning_rate_scale: float) -> None:
        """Build the networks. Weights are drawn from torch's global generator.

        Raises:
            ConfigError: if the actions are discrete, or a network does not fit into memory.
        """
        own = config.agent
        assert isinstance(own, SACConfig)
        self.dims = continuous_actions(config, spaces).width
        limits = PolicyConfig(log_std_min=own.log_std_min, log_std_max=own.log_std_max)
        self.actor = build_policy(limits, config.network, spaces, device)
        self.critics = build_critics(config.network.critic, spaces, device)
        self.ensemble, self.infos = ensemble_of(config.network.critic), own.stages
        self.critic_updates, self.backup_entropy = max(1, int(config.online.utd)), own.backup_entropy
        self.first_temperature = own.initial_temperature
        rates = own.actor_learning_rate, config.q.learning_rate, own.temperature_learning_rate
        numbers = config.q.discount, config.q.tau, own.target_entropy * self.dims
        scaled = (learning_rate_scale * rate for rate in rates)
        self._hparams = SACHyperparameters(*scalars(device, *scaled, *numbers))

    @property
    def stages(self) -> Sequence[TrainingStage[SACState]]:
        """The stages. Online, the policy and α learn at one of so many updates as there are to an environment step."""
        found = []
        for info in self.infos:
            alone = self.critic_updates - 1 if info.online else 0
            cycle = (*[self.update_critic] * alone, self.update)
            found.append(TrainingStage(info, cycle, self.update_noise, warmup_policy="random" if info.online else None))
        return found

    @property
    def policies(self) -> Mapping[str, AgentPolicy[SACState]]:
        """The policy, and the uniform one that acts before there is anything to learn from."""
        return {
            "random": AgentPolicy(self.act_random, self.random_noise),
            "policy": AgentPolicy(self.act, self.act_noise, self.value),
        }

    def init(self, statistics: Statistics) -> SACState:
        """The state before any update."""
        actor, critic = learned(parameters_of(self.actor)), learned(parameters_of(self.critics))
        device = statistics.normalizer.mean.device
        temperature = learned({"log": torch.tensor(math.log(self.first_temperature), device=device)})
        updates = torch.zeros((), device=device)
        return SACState(statistics.normalizer, actor, critic, critic.params, temperature, updates)

    def hparams(self, stage: str, step: int) -> SACHyperparameters:
        """The hyper-parameters, constant over all steps."""
        return self._hparams

    def scheduled(self, state: SACState, hparams: SACHyperparameters) -> SACState:
        """The state as it is: nothing is scheduled."""
        return state

    def update_noise(self, batch: int, hparams: SACHyperparameters, generator: torch.Generator) -> Noise:
        """The random numbers of one update: of the policy's actions in s and in s', and of the critics drawn."""
        noise = {name: normal((batch, self.dims), generator) for name in ("action", "next_action")}
        return noise | ({"subset": uniform((self.ensemble.size,), generator)} if self.ensemble.subset else {})

    def update(
        self, state: SACState, batch: Batch, noise: Noise, hparams: SACHyperparameters
    ) -> tuple[SACState, Metrics]:
        """One update of Q and Q̄, of the policy, and of α."""
        state, metrics = self.update_critic(state, batch, noise, hparams)
        obs, alpha = state.normalizer(batch.obs), state.temperature.params["log"].exp()

        def actor_loss(params: Params) -> Loss:
            """E_{a~π}[ α log π(a|s) − Q(s,a) ], equation 7."""
            policy = apply(self.actor, params, obs)
            latent = policy.latent(noise["action"])
            log_prob, q = policy.log_density(latent), self.q(state.critic.params, obs, latent.tanh())
            value = (alpha * log_prob - self.ensemble.for_acting(q)).mean()
            return value, {"actor_loss": value, "entropy": -log_prob.mean(), "q_policy": q.mean()}

        actor, of_actor = descend(state.actor, actor_loss, hparams.actor_learning_rate)
        excess = of_actor["entropy"] - hparams.target_entropy

        temperature, of_temperature = tempered(state.temperature, excess, hparams.temperature_learning_rate)
        state = state._replace(actor=actor, temperature=temperature)
        return state, metrics | of_actor | of_temperature | {"temperature": alpha}

    def update_critic(
        self, state: SACState, batch: Batch, noise: Noise, hparams: SACHyperparameters
    ) -> tuple[SACState, Metrics]:
        """One update of Q and Q̄: E[ (r + γ V(s') − Q(s,a))² ] with V of `next_value`."""
        next_value = self.next_value(state, batch, noise)
        target = td_target(batch.reward, batch.terminated, next_value, hparams.discount**batch.steps)

        def loss(params: Params) -> Loss:
            return self.critic_loss(params, state, batch, target, noise, hparams)

        critic, metrics = descend(state.critic, loss, hparams.critic_learning_rate)
        bar = polyak(state.target, critic.params, hparams.tau)
        state = state._replace(critic=critic, target=bar, updates=state.updates + 1.0)
        return state, metrics | {"target": target.mean()}

    def next_value(self, state: SACState, batch: Batch, noise: Noise) -> Tensor:
        """V(s') = Q̄(s', a') − α log π(a'|s') (B,) with a' ~ π, equation 3."""
        next_obs = state.normalizer(batch.next_obs)
        policy = apply(self.actor, state.actor.params, next_obs)
        latent = policy.latent(noise["next_action"])
        value = self.ensemble.for_target(self.q(state.target, next_obs, latent.tanh()), noise)
        log_prob: Tensor = policy.log_density(latent)
        return value - state.temperature.params["log"].exp() * log_prob if self.backup_entropy else value

    def critic_loss(
        self, params: Params, state: SACState, batch: Batch, target: Tensor, noise: Noise, hparams: SACHyperparameters
    ) -> Loss:
        """Σ_e E[ (Q_e(s,a) − y)² ] for a target y (B,), equation 5."""
        return fitted(self.q(params, state.normalizer(batch.obs), batch.action), target)

    def act(self, state: SACState, obs: Tensor, noise: Noise, deterministic: bool) -> Tensor:
        """Actions (B, d) at observations (B, obs_dim)."""
        policy = apply(self.actor, state.actor.params, state.normalizer(obs))
        action: Tensor = policy.mode() if deterministic else policy.sample(noise["action"])
        return action

    def act_noise(self, count: int, generator: torch.Generator) -> Noise:
        """The random numbers of one `act` at `count` observations."""
        return {"action": normal((count, self.dims), generator)}

    def act_random(self, state: SACState, obs: Tensor, noise: Noise, deterministic: bool) -> Tensor:
        """Uniform actions (B, d), or those in the middle of all."""
        return obs.new_zeros((obs.shape[0], self.dims)) if deterministic else 2.0 * noise["uniform"] - 1.0

    def random_noise(self, count: int, generator: torch.Generator) -> Noise:
        """The random numbers of one `act_random` at `count` observations."""
        return {"uniform": uniform((count, self.dims), generator)}

    def value(self, state: SACState, obs: Tensor, action: Tensor) -> Tensor:
        """Q (B,) of actions at observations (B, obs_dim)."""
        return self.ensemble.for_acting(self.q(state.critic.params, state.normalizer(obs), action))

    def q(self, params: Params, obs: Tensor, action: Tensor) -> Tensor:
        """Q of each critic (E, B) at normalised observations (B, obs_dim) and actions (B, d)."""
        values: Tensor = apply(self.critics, params, obs, action.unsqueeze(1))
        return values.squeeze(-1)


def tempered(temperature: Learned, excess: Tensor, rate: Tensor) -> tuple[Learned, Metrics]:
    """One step of log α down α (H(π) − H̄), equation 18; `excess` is H(π) − H̄."""

    def loss(params: Params) -> Loss:
        value = params["log"].exp() * excess
        return value, {"temperature_loss": value}

    return descend(temperature, loss, rate)


def fitted(q: Tensor, target: Tensor) -> Loss:
    """The TD loss of critics (E, B), with metrics."""
    loss = td_loss(q, target)
    return loss, {"td_loss": loss, "td_error": (q - target).abs().mean(), "q_data": q.mean()}
