"""TD3+BC (Fujimoto & Gu 2021): twin delayed DDPG (Fujimoto et al. 2018) whose policy also imitates the data."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rql.agents.base import AgentPolicy, Noise, TrainingStage, normal, scalars
from rql.agents.networks import actor_net, build_critics, continuous_actions, fitting
from rql.agents.statistics import Statistics
from rql.config.agents.td3_bc import TD3BCConfig, TD3Config
from rql.config.schema import Config
from rql.data.batch import Batch
from rql.envs.spaces import Spaces
from rql.method.ensemble import minimum
from rql.method.losses import td_loss
from rql.method.targets import td_target
from rql.nn.network import Params, apply, parameters_of
from rql.nn.normalizer import Normalizer
from rql.nn.policies import DeterministicPolicy
from rql.optim.adam import Learned, Loss, Metrics, descend, learned
from rql.optim.polyak import polyak


class TD3BCState(NamedTuple):
    """All of the agent that changes."""

    normalizer: Normalizer
    actor: Learned
    actor_target: Params
    critic: Learned
    critic_target: Params
    updates: Tensor


class TD3BCHyperparameters(NamedTuple):
    """The numbers of an update, all scalars."""

    actor_learning_rate: Tensor
    critic_learning_rate: Tensor
    discount: Tensor
    tau: Tensor
    policy_noise: Tensor
    noise_clip: Tensor
    actor_weight: Tensor
    """α of TD3+BC, β1 of ReBRAC."""
    critic_weight: Tensor
    """β2 of ReBRAC; TD3+BC has none."""


class TD3BC:
    """Learns Q by clipped double Q-learning, and a deterministic policy that stays near the data."""

    needs: frozenset[str] = frozenset()

    def __init__(self, config: Config, spaces: Spaces, device: torch.device, learning_rate_scale: float) -> None:
        """Build the networks. Weights are drawn from torch's global generator.

        Raises:
            ConfigError: if the actions are discrete, or a network does not fit into memory.
        """
        own, net, self.infos = config.agent, config.network, config.agent.stages
        assert isinstance(own, TD3Config)
        hidden, width = net.actor.hidden, continuous_actions(config, spaces).width

        def build() -> DeterministicPolicy:
            return DeterministicPolicy(actor_net(net.actor, spaces.obs_dim, width))

        self.actor = fitting("network.actor.hidden", hidden, build, device)
        self.critics = build_critics(net.critic, spaces, device)
        self.dims, self.delay, self.exploration_noise = width, own.policy_delay, own.exploration_noise
        rates = learning_rate_scale * own.actor_learning_rate, learning_rate_scale * config.q.learning_rate
        numbers = config.q.discount, config.q.tau, own.policy_noise, own.noise_clip
        self._hparams = TD3BCHyperparameters(*scalars(device, *rates, *numbers, *self.weights(own)))

    def weights(self, own: Any) -> tuple[float, float]:
        """The weights of a configuration that tell TD3+BC and ReBRAC from TD3: of the policy, and of the critics."""
        assert isinstance(own, TD3BCConfig)
        return own.alpha, 0.0

    @property
    def stages(self) -> Sequence[TrainingStage[TD3BCState]]:
        """Offline and online, the policy learns at every `policy_delay`-th update."""
        cycle = (*[self.update_critic] * (self.delay - 1), self.update)
        return [TrainingStage(info, cycle, self.update_noise) for info in self.infos]

    @property
    def policies(self) -> Mapping[str, AgentPolicy[TD3BCState]]:
        """The policy."""
        return {"policy": AgentPolicy(self.act, self.act_noise, self.value)}

    def init(self, statistics: Statistics) -> TD3BCState:
        """The state before any update."""
        actor, critic = learned(parameters_of(self.actor)), learned(parameters_of(self.critics))
        updates = torch.zeros((), device=statistics.normalizer.mean.device)
        return TD3BCState(statistics.normalizer, actor, actor.params, critic, critic.params, updates)

    def hparams(self, stage: str, step: int) -> TD3BCHyperparameters:
        """The hyper-parameters, constant over all steps."""
        return self._hparams

    def scheduled(self, state: TD3BCState, hparams: TD3BCHyperparameters) -> TD3BCState:
        """The state as it is: nothing is scheduled."""
        return state

    def update_noise(self, batch: int, hparams: TD3BCHyperparameters, generator: torch.Generator) -> Noise:
        """The random numbers of one update: the noise on the target policy's actions."""
        return {"target": normal((batch, self.dims), generator)}

    def update_critic(
        self, state: TD3BCState, batch: Batch, noise: Noise, hparams: TD3BCHyperparameters
    ) -> tuple[TD3BCState, Metrics]:
        """One update of Q: E[ (r + γ V(s') − Q(s,a))² ], where V is `next_value` at π̄(s') + ε with clipped noise ε."""
        obs, next_obs = state.normalizer(batch.obs), state.normalizer(batch.next_obs)
        smoothing = (hparams.policy_noise * noise["target"]).clamp(-hparams.noise_clip, hparams.noise_clip)
        next_action = (apply(self.actor, state.actor_target, next_obs) + smoothing).clamp(-1.0, 1.0)
        next_value = self.next_value(state, batch, next_action, hparams)
        target = td_target(batch.reward, batch.terminated, next_value, hparams.discount**batch.steps)

        def loss(params: Params) -> Loss:
            values = self._q(params, obs, batch.action)
            value = td_loss(values, target)
            return value, {"td_loss": value, "td_error": (values - target).abs().mean(), "q_data": values.mean()}

        critic, metrics = descend(state.critic, loss, hparams.critic_learning_rate)
        return state._replace(critic=critic, updates=state.updates + 1.0), metrics | {"target": target.mean()}

    def next_value(self, state: TD3BCState, batch: Batch, next_action: Tensor, hparams: TD3BCHyperparameters) -> Tensor:
        """min_e Q̄_e(s', ã) (B,) at actions ã (B, d)."""
        return minimum(self._q(state.critic_target, state.normalizer(batch.next_obs), next_action))

    def policy_loss(self, params: Params, state: TD3BCState, batch: Batch, hparams: TD3BCHyperparameters) -> Loss:
        """E[ (π(s) − a)² − λ Q_1(s, π(s)) ], λ = α / E|Q_1|."""
        obs = state.normalizer(batch.obs)
        action = apply(self.actor, params, obs)
        q = self._q(state.critic.params, obs, action)[0]
        imitation = (action - batch.action).square().mean()
        value = imitation - hparams.actor_weight / q.abs().mean().detach() * q.mean()
        return value, {"actor_loss": value, "imitation_loss": imitation, "q_policy": q.mean()}

    def update(
        self, state: TD3BCState, batch: Batch, noise: Noise, hparams: TD3BCHyperparameters
    ) -> tuple[TD3BCState, Metrics]:
        """One update of Q, then of the policy and the targets."""
        state, metrics = self.update_critic(state, batch, noise, hparams)

        def loss(params: Params) -> Loss:
            return self.policy_loss(params, state, batch, hparams)

        actor, of_actor = descend(state.actor, loss, hparams.actor_learning_rate)
        state = state._replace(
            actor=actor,
            actor_target=polyak(state.actor_target, actor.params, hparams.tau),
            critic_target=polyak(state.critic_target, state.critic.params, hparams.tau),
        )
        return state, metrics | of_actor

    def act(self, state: TD3BCState, obs: Tensor, noise: Noise, deterministic: bool) -> Tensor:
        """Actions (B, d) at observations (B, obs_dim); a sample has the exploration noise."""
        action: Tensor = apply(self.actor, state.actor.params, state.normalizer(obs))
        return action if deterministic else (action + self.exploration_noise * noise["action"]).clamp(-1.0, 1.0)

    def act_noise(self, count: int, generator: torch.Generator) -> Noise:
        """The random numbers of one `act` at `count` observations."""
        return {"action": normal((count, self.dims), generator)}

    def value(self, state: TD3BCState, obs: Tensor, action: Tensor) -> Tensor:
        """Q (B,) of actions at observations (B, obs_dim)."""
        return minimum(self._q(state.critic.params, state.normalizer(obs), action))

    def _q(self, params: Params, obs: Tensor, action: Tensor) -> Tensor:
        values: Tensor = apply(self.critics, params, obs, action.unsqueeze(1))
        return values.squeeze(-1)
