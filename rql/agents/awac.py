"""Advantage-weighted actor-critic (Nair et al. 2020)."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rql.agents.base import AgentPolicy, Noise, TrainingStage, action_noise, scalars
from rql.agents.networks import build_critics, build_plain_policy
from rql.agents.statistics import Statistics
from rql.config.agents.awac import AWACConfig
from rql.config.schema import Config
from rql.data.batch import Batch
from rql.envs.spaces import Spaces
from rql.method.ensemble import minimum
from rql.method.losses import td_loss
from rql.method.targets import td_target
from rql.nn.network import Params, apply, parameters_of
from rql.nn.normalizer import Normalizer
from rql.optim.adam import Learned, Loss, Metrics, descend, learned
from rql.optim.polyak import polyak


class AWACState(NamedTuple):
    """All of the agent that changes."""

    normalizer: Normalizer
    actor: Learned
    critic: Learned
    target: Params
    """Q̄."""
    updates: Tensor


class AWACHyperparameters(NamedTuple):
    """The numbers of an update, all scalars."""

    actor_learning_rate: Tensor
    critic_learning_rate: Tensor
    discount: Tensor
    tau: Tensor
    temperature: Tensor


class AWAC:
    """Learns Q of the policy, and a policy by regression on the data with weights exp(advantage / λ)."""

    needs: frozenset[str] = frozenset()

    def __init__(self, config: Config, spaces: Spaces, device: torch.device, learning_rate_scale: float) -> None:
        """Build the networks. Weights are drawn from torch's global generator.

        Raises:
            ConfigError: if a network does not fit into memory.
        """
        own = config.agent
        assert isinstance(own, AWACConfig)
        self.spaces = spaces
        self.actor = build_plain_policy(config.network, spaces, own.log_std_min, own.log_std_max, device)
        self.critics = build_critics(config.network.critic, spaces, device)
        rates = learning_rate_scale * own.actor_learning_rate, learning_rate_scale * config.q.learning_rate
        numbers = config.q.discount, config.q.tau, own.temperature
        self._hparams = AWACHyperparameters(*scalars(device, *rates, *numbers))

    @property
    def stages(self) -> Sequence[TrainingStage[AWACState]]:
        """The stages, which repeat one update offline and online."""
        return [TrainingStage(info, (self.update,), self.update_noise) for info in AWACConfig.stages]

    @property
    def policies(self) -> Mapping[str, AgentPolicy[AWACState]]:
        """The policy."""
        return {"policy": AgentPolicy(self.act, self.act_noise, self.value)}

    def init(self, statistics: Statistics) -> AWACState:
        """The state before any update."""
        actor, critic = learned(parameters_of(self.actor)), learned(parameters_of(self.critics))
        updates = torch.zeros((), device=statistics.normalizer.mean.device)
        return AWACState(statistics.normalizer, actor, critic, critic.params, updates)

    def hparams(self, stage: str, step: int) -> AWACHyperparameters:
        """The hyper-parameters, constant over all steps."""
        return self._hparams

    def scheduled(self, state: AWACState, hparams: AWACHyperparameters) -> AWACState:
        """The state as it is: nothing is scheduled."""
        return state

    def update_noise(self, batch: int, hparams: AWACHyperparameters, generator: torch.Generator) -> Noise:
        """The random numbers of one update: of the policy's actions in s and in s'."""
        names = ("action", "next_action")
        return {name: self.act_noise(batch, generator)["action"] for name in names}

    def update(
        self, state: AWACState, batch: Batch, noise: Noise, hparams: AWACHyperparameters
    ) -> tuple[AWACState, Metrics]:
        """One update of Q, the policy and Q̄."""
        obs, next_obs = state.normalizer(batch.obs), state.normalizer(batch.next_obs)
        next_action = apply(self.actor, state.actor.params, next_obs).sample(noise["next_action"])
        next_value = minimum(self._q(state.target, next_obs, next_action))
        target = td_target(batch.reward, batch.terminated, next_value, hparams.discount**batch.steps)

        def critic_loss(params: Params) -> Loss:
            """E[ (r + γ Q̄(s', a') − Q(s,a))² ] with a' ~ π(s')."""
            values = self._q(params, obs, batch.action)
            loss = td_loss(values, target)
            return loss, {"td_loss": loss, "td_error": (values - target).abs().mean(), "q_data": values.mean()}

        critic, of_critic = descend(state.critic, critic_loss, hparams.critic_learning_rate)
        own_action = apply(self.actor, state.actor.params, obs).sample(noise["action"])
        q_data, q_policy = (minimum(self._q(critic.params, obs, action)) for action in (batch.action, own_action))
        weight = torch.softmax((q_data - q_policy) / hparams.temperature, 0) * len(q_data)

        def actor_loss(params: Params) -> Loss:
            """E[ −w log π(a|s) ], w ∝ exp((Q(s,a) − Q(s,a_π)) / λ), of mean 1 over the batch."""
            loss = -(weight * apply(self.actor, params, obs).log_prob(batch.action)).mean()
            return loss, {"actor_loss": loss, "advantage": (q_data - q_policy).mean(), "q_policy": q_policy.mean()}

        actor, of_actor = descend(state.actor, actor_loss, hparams.actor_learning_rate)
        bar = polyak(state.target, critic.params, hparams.tau)
        metrics = of_critic | of_actor | {"target": target.mean()}
        return AWACState(state.normalizer, actor, critic, bar, state.updates + 1.0), metrics

    def act(self, state: AWACState, obs: Tensor, noise: Noise, deterministic: bool) -> Tensor:
        """Actions (B,) or (B, d) at observations (B, obs_dim)."""
        policy = apply(self.actor, state.actor.params, state.normalizer(obs))
        action: Tensor = policy.mode() if deterministic else policy.sample(noise["action"])
        return action

    def act_noise(self, count: int, generator: torch.Generator) -> Noise:
        """The random numbers of one `act` at `count` observations."""
        return action_noise(self.spaces.action, count, generator)

    def value(self, state: AWACState, obs: Tensor, action: Tensor) -> Tensor:
        """Q (B,) of actions at observations (B, obs_dim)."""
        return minimum(self._q(state.critic.params, state.normalizer(obs), action))

    def _q(self, params: Params, obs: Tensor, action: Tensor) -> Tensor:
        values: Tensor = apply(self.critics, params, obs, action.unsqueeze(1))
        return values.squeeze(-1)
