"""TD3+BC (Fujimoto & Gu 2021): twin delayed DDPG (Fujimoto et al. 2018) whose policy also imitates the data."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rql.agents.base import AgentPolicy, Noise, TrainingStage, normal, scalars
from rql.agents.networks import actor_net, build_critics, fitting
from rql.agents.statistics import Statistics
from rql.config.agents.td3_bc import TD3BCConfig
from rql.config.schema import Config
from rql.data.batch import Batch
from rql.envs.spaces import DiscreteSpec, Spaces
from rql.method.ensemble import minimum
from rql.method.losses import td_loss
from rql.method.targets import td_target
from rql.nn.network import Params, apply, parameters_of
from rql.nn.normalizer import Normalizer
from rql.nn.policies import DeterministicPolicy
from rql.optim.adam import Learned, Loss, Metrics, descend, learned
from rql.optim.polyak import copied, polyak
from rql.utils.errors import ConfigError
from rql.utils.tree import replaced


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
    alpha: Tensor
    policy_noise: Tensor
    noise_clip: Tensor


class TD3BC:
    """Learns Q by clipped double Q-learning, and a deterministic policy that stays near the data."""

    needs: frozenset[str] = frozenset()

    def __init__(self, config: Config, spaces: Spaces, device: torch.device, learning_rate_scale: float) -> None:
        """Build the networks. Weights are drawn from torch's global generator.

        Raises:
            ConfigError: if the actions are discrete, or a network does not fit into memory.
        """
        own, spec, net = config.agent, spaces.action, config.network
        assert isinstance(own, TD3BCConfig)
        if isinstance(spec, DiscreteSpec):
            raise ConfigError("agent", "td3_bc", f"rql, iql or bc: the actions of {config.env.id} are discrete")
        hidden, width = net.actor.hidden, spec.width

        def build() -> DeterministicPolicy:
            return DeterministicPolicy(actor_net(net.actor, spaces.obs_dim, width))

        self.actor = fitting("network.actor.hidden", hidden, build, device)
        self.critics = build_critics(net.critic, spaces, device)
        self.dims, self.delay, self.exploration_noise = spec.width, own.policy_delay, own.exploration_noise
        rates = learning_rate_scale * own.actor_learning_rate, learning_rate_scale * config.q.learning_rate
        numbers = config.q.discount, config.q.tau, own.alpha, own.policy_noise, own.noise_clip
        self._hparams = TD3BCHyperparameters(*scalars(device, *rates, *numbers))

    @property
    def stages(self) -> Sequence[TrainingStage[TD3BCState]]:
        """Offline and online, the policy learns at every `policy_delay`-th update."""
        cycle = (*[self.update_critic] * (self.delay - 1), self.update)
        return [TrainingStage(info, cycle, self.update_noise) for info in TD3BCConfig.stages]

    @property
    def policies(self) -> Mapping[str, AgentPolicy[TD3BCState]]:
        """The policy."""
        return {"policy": AgentPolicy(self.act, self.act_noise, self.value)}

    def init(self, statistics: Statistics) -> TD3BCState:
        """The state before any update."""
        actor, critic = learned(parameters_of(self.actor)), learned(parameters_of(self.critics))
        updates = torch.zeros((), device=statistics.normalizer.mean.device)
        return TD3BCState(statistics.normalizer, actor, copied(actor.params), critic, copied(critic.params), updates)

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
        """One update of Q: E[ (r + γ min_e Q̄_e(s', π̄(s') + ε) − Q(s,a))² ] with clipped noise ε."""
        obs, next_obs = state.normalizer(batch.obs), state.normalizer(batch.next_obs)
        smoothing = (hparams.policy_noise * noise["target"]).clamp(-hparams.noise_clip, hparams.noise_clip)
        next_action = (apply(self.actor, state.actor_target, next_obs) + smoothing).clamp(-1.0, 1.0)
        next_value = minimum(self._q(state.critic_target, next_obs, next_action))
        target = td_target(batch.reward, batch.terminated, next_value, hparams.discount**batch.steps)

        def loss(params: Params) -> Loss:
            values = self._q(params, obs, batch.action)
            value = td_loss(values, target)
            return value, {"td_loss": value, "td_error": (values - target).abs().mean(), "q_data": values.mean()}

        critic, metrics = descend(state.critic, loss, hparams.critic_learning_rate)
        return replaced(state, critic=critic, updates=state.updates + 1.0), metrics | {"target": target.mean()}

    def update(
        self, state: TD3BCState, batch: Batch, noise: Noise, hparams: TD3BCHyperparameters
    ) -> tuple[TD3BCState, Metrics]:
        """One update of Q, then of the policy and the targets: λ Q_1(s, π(s)) − (π(s) − a)², λ = α / E|Q_1|."""
        state, metrics = self.update_critic(state, batch, noise, hparams)
        obs = state.normalizer(batch.obs)

        def loss(params: Params) -> Loss:
            action = apply(self.actor, params, obs)
            q = self._q(state.critic.params, obs, action)[0]
            imitation = (action - batch.action).square().mean()
            value = imitation - hparams.alpha / q.abs().mean().detach() * q.mean()
            return value, {"actor_loss": value, "imitation_loss": imitation, "q_policy": q.mean()}

        actor, of_actor = descend(state.actor, loss, hparams.actor_learning_rate)
        state = replaced(
            state,
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
