"""Implicit Q-learning (Kostrikov et al. 2022)."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rql.agents.base import AgentPolicy, Noise, TrainingStage, action_noise, scalars
from rql.agents.networks import build_critics, build_plain_policy, build_value
from rql.agents.statistics import Statistics
from rql.config.agents.iql import IQLConfig
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


class IQLState(NamedTuple):
    """All of the agent that changes."""

    normalizer: Normalizer
    actor: Learned
    critic: Learned
    value: Learned
    target: Params
    """Q̄."""
    updates: Tensor


class IQLHyperparameters(NamedTuple):
    """The numbers of an update, all scalars."""

    actor_learning_rate: Tensor
    critic_learning_rate: Tensor
    discount: Tensor
    tau: Tensor
    expectile: Tensor
    temperature: Tensor
    max_weight: Tensor


class IQL:
    """Learns V by expectile regression, Q by TD with V, and a policy by advantage-weighted regression."""

    needs: frozenset[str] = frozenset()

    def __init__(self, config: Config, spaces: Spaces, device: torch.device, learning_rate_scale: float) -> None:
        """Build the networks. Weights are drawn from torch's global generator.

        Raises:
            ConfigError: if a network does not fit into memory.
        """
        own = config.agent
        assert isinstance(own, IQLConfig)
        self.spaces, net = spaces, config.network
        self.actor = build_plain_policy(net, spaces, own.log_std_min, own.log_std_max, device)
        self.critics = build_critics(net.critic, spaces, device)
        self.value_net = build_value(net.critic, spaces, device)
        rates = learning_rate_scale * own.actor_learning_rate, learning_rate_scale * config.q.learning_rate
        numbers = config.q.discount, config.q.tau, own.expectile, own.temperature, own.max_weight
        self._hparams = IQLHyperparameters(*scalars(device, *rates, *numbers))

    @property
    def stages(self) -> Sequence[TrainingStage[IQLState]]:
        """The stages, which repeat one update offline and online."""
        return [TrainingStage(info, (self.update,)) for info in IQLConfig.stages]

    @property
    def policies(self) -> Mapping[str, AgentPolicy[IQLState]]:
        """The policy."""
        return {"policy": AgentPolicy(self.act, self.act_noise, self.value)}

    def init(self, statistics: Statistics) -> IQLState:
        """The state before any update."""
        actor, critic, value = (learned(parameters_of(net)) for net in (self.actor, self.critics, self.value_net))
        updates = torch.zeros((), device=statistics.normalizer.mean.device)
        return IQLState(statistics.normalizer, actor, critic, value, critic.params, updates)

    def hparams(self, stage: str, step: int) -> IQLHyperparameters:
        """The hyper-parameters, constant over all steps."""
        return self._hparams

    def scheduled(self, state: IQLState, hparams: IQLHyperparameters) -> IQLState:
        """The state as it is: nothing is scheduled."""
        return state

    def update(
        self, state: IQLState, batch: Batch, noise: Noise, hparams: IQLHyperparameters
    ) -> tuple[IQLState, Metrics]:
        """One update of V, Q, the policy and Q̄."""
        obs, next_obs = state.normalizer(batch.obs), state.normalizer(batch.next_obs)
        q = minimum(self._q(state.target, obs, batch.action))

        def value_loss(params: Params) -> Loss:
            """E[ |expectile − 1(Q̄ < V)| (Q̄ − V)² ], equation 5."""
            difference = q - apply(self.value_net, params, obs)
            weight = (hparams.expectile - (difference < 0.0).float()).abs()
            loss = (weight * difference.square()).mean()
            return loss, {"value_loss": loss}

        next_value = apply(self.value_net, state.value.params, next_obs)
        target = td_target(batch.reward, batch.terminated, next_value, hparams.discount**batch.steps)

        def critic_loss(params: Params) -> Loss:
            """E[ (r + γ V(s') − Q(s,a))² ], equation 6."""
            values = self._q(params, obs, batch.action)
            loss = td_loss(values, target)
            return loss, {"td_loss": loss, "td_error": (values - target).abs().mean(), "q_data": values.mean()}

        value, of_value = descend(state.value, value_loss, hparams.critic_learning_rate)
        critic, of_critic = descend(state.critic, critic_loss, hparams.critic_learning_rate)
        advantage = q - apply(self.value_net, value.params, obs)

        def actor_loss(params: Params) -> Loss:
            """E[ −exp(temperature · (Q̄ − V)) log π(a|s) ], equation 7, with a largest weight."""
            weight = torch.minimum((hparams.temperature * advantage).exp(), hparams.max_weight)
            loss = -(weight * apply(self.actor, params, obs).log_prob(batch.action)).mean()
            return loss, {"actor_loss": loss, "advantage": advantage.mean(), "weight": weight.mean()}

        actor, of_actor = descend(state.actor, actor_loss, hparams.actor_learning_rate)
        bar = polyak(state.target, critic.params, hparams.tau)
        metrics = of_value | of_critic | of_actor | {"target": target.mean()}
        return IQLState(state.normalizer, actor, critic, value, bar, state.updates + 1.0), metrics

    def act(self, state: IQLState, obs: Tensor, noise: Noise, deterministic: bool) -> Tensor:
        """Actions (B,) or (B, d) at observations (B, obs_dim)."""
        policy = apply(self.actor, state.actor.params, state.normalizer(obs))
        action: Tensor = policy.mode() if deterministic else policy.sample(noise["action"])
        return action

    def act_noise(self, count: int, generator: torch.Generator) -> Noise:
        """The random numbers of one `act` at `count` observations."""
        return action_noise(self.spaces.action, count, generator)

    def value(self, state: IQLState, obs: Tensor, action: Tensor) -> Tensor:
        """Q (B,) of actions at observations (B, obs_dim)."""
        return minimum(self._q(state.critic.params, state.normalizer(obs), action))

    def _q(self, params: Params, obs: Tensor, action: Tensor) -> Tensor:
        values: Tensor = apply(self.critics, params, obs, action.unsqueeze(1))
        return values.squeeze(-1)
