"""EXPO (Dong et al. 2025): a policy that imitates proposes actions, another edits them, and Q chooses among all."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from rql.agents.base import AgentPolicy, Noise, TrainingStage, normal, scalars, uniform
from rql.agents.bc import BC
from rql.agents.networks import actor_net, build_critics, continuous_actions, ensemble_of, fitting
from rql.agents.sac import fitted, tempered
from rql.agents.statistics import Statistics
from rql.config.agents.expo import EXPOConfig
from rql.config.schema import Config
from rql.data.batch import Batch
from rql.envs.spaces import Spaces
from rql.method.actions import WeightedActions
from rql.method.targets import td_target
from rql.nn.network import Params, apply, parameters_of, starting_at_zero
from rql.nn.normalizer import Normalizer
from rql.nn.policies import EditPolicy
from rql.optim.adam import Learned, Loss, Metrics, descend, learned
from rql.optim.polyak import polyak


class EXPOState(NamedTuple):
    """All of the agent that changes."""

    normalizer: Normalizer
    bc: Learned
    """π_BC, which nothing changes once it is cloned."""
    base: Learned
    """π_base, which begins as π_BC and imitates online too."""
    edit: Learned
    """π_edit."""
    critic: Learned
    target: Params
    """Q̄."""
    temperature: Learned
    """log α."""
    updates: Tensor


class EXPOHyperparameters(NamedTuple):
    """The numbers of an update, all scalars."""

    bc_learning_rate: Tensor
    edit_learning_rate: Tensor
    critic_learning_rate: Tensor
    temperature_learning_rate: Tensor
    discount: Tensor
    tau: Tensor
    target_entropy: Tensor


class EXPO:
    """Learns Q of the policy that takes the best by Q of N actions b_i ~ π_base(·|s) and of N edited ones, b_i + c e_i
    with e_i ~ π_edit(·|s, b_i) in (−1, 1)^d. Q is 0 at first, and of actions that are as good it is the first one.
    """

    needs: frozenset[str] = frozenset()

    def __init__(self, config: Config, spaces: Spaces, device: torch.device, learning_rate_scale: float) -> None:
        """Build the networks. Weights are drawn from torch's global generator.

        Raises:
            ConfigError: if the actions are discrete, or a network does not fit into memory.
        """
        own, critic = config.agent, config.network.critic
        assert isinstance(own, EXPOConfig)
        self.dims = continuous_actions(config, spaces).width
        self.clone: Any = BC(config, spaces, device, learning_rate_scale)
        self.editor = _editor(config, own, spaces, device)
        self.critics, self.ensemble = starting_at_zero(build_critics(critic, spaces, device)), ensemble_of(critic)
        self.critic_updates, self.scale, self.count = max(1, int(config.online.utd)), own.scale, own.candidates
        self.draws, self.first_temperature = self.dims + self.clone.prior.further_draws, own.initial_temperature
        half = torch.randn((self.count // 2, self.draws), generator=torch.Generator().manual_seed(0))
        self._mode_draws = torch.cat([half, -half])[: self.count - 1]
        rates = config.bc.learning_rate, own.actor_learning_rate, config.q.learning_rate, own.temperature_learning_rate
        numbers = config.q.discount, config.q.tau, own.target_entropy * self.dims
        self._hparams = EXPOHyperparameters(*scalars(device, *(learning_rate_scale * rate for rate in rates), *numbers))

    @property
    def stages(self) -> Sequence[TrainingStage[EXPOState]]:
        """Cloning, then online; π_edit, α and π_base learn at the last of the updates of an environment step."""
        cloning, online = EXPOConfig.stages
        cycle = (*[self.update_critic] * (self.critic_updates - 1), self.update)
        return [
            TrainingStage(cloning, (self.clone.update,), self.clone.update_noise),
            TrainingStage(online, cycle, self.update_noise, self.start_online, warmup_policy="bc"),
        ]

    @property
    def policies(self) -> Mapping[str, AgentPolicy[EXPOState]]:
        """π_BC, and π."""
        policy = AgentPolicy(self.act, self.act_noise, self.value, self.rank)
        return {"bc": self.clone.policies["bc"], "policy": policy}

    def init(self, statistics: Statistics) -> EXPOState:
        """The state before any update."""
        clone = self.clone.init(statistics)
        edit, critic = learned(parameters_of(self.editor)), learned(parameters_of(self.critics))
        first = torch.tensor(math.log(self.first_temperature), device=statistics.normalizer.mean.device)
        learning = clone.bc, clone.bc, edit, critic, critic.params, learned({"log": first})
        return EXPOState(clone.normalizer, *learning, clone.updates)

    def start_online(self, state: EXPOState) -> EXPOState:
        """The state with π_BC as π_base."""
        return state._replace(base=state.bc)

    def hparams(self, stage: str, step: int) -> EXPOHyperparameters:
        """The hyper-parameters, constant over all steps."""
        return self._hparams

    def scheduled(self, state: EXPOState, hparams: EXPOHyperparameters) -> EXPOState:
        """The state as it is: nothing is scheduled."""
        return state

    def update_noise(self, batch: int, hparams: EXPOHyperparameters, generator: torch.Generator) -> Noise:
        """The random numbers of one update: of the candidates in s', of an edit in s, of imitation, of the critics."""
        noise = {f"next_{name}": numbers for name, numbers in self.act_noise(batch, generator).items()}
        noise["base"], noise["edit"] = (normal((batch, 1, count), generator) for count in (self.draws, self.dims))
        noise |= self.clone.update_noise(batch, hparams, generator)
        return noise | ({"subset": uniform((self.ensemble.size,), generator)} if self.ensemble.subset else {})

    def update_critic(
        self, state: EXPOState, batch: Batch, noise: Noise, hparams: EXPOHyperparameters
    ) -> tuple[EXPOState, Metrics]:
        """One update of Q and Q̄: E[ (r + γ Q̄(s', a') − Q(s,a))² ] with a' of the policy that acts."""
        next_obs = state.normalizer(batch.next_obs)
        next_base = self._base(state, next_obs).unsqueeze().sample(noise["next_base"])
        action = _best(self._candidates(state, next_obs, next_base, noise["next_edit"]))
        next_value = self.ensemble.for_target(self._q(state.target, next_obs, action.unsqueeze(1)), noise).squeeze(-1)
        target = td_target(batch.reward, batch.terminated, next_value, hparams.discount**batch.steps)
        obs = state.normalizer(batch.obs)

        def loss(params: Params) -> Loss:
            return fitted(self._q(params, obs, batch.action.unsqueeze(1)).squeeze(-1), target)

        critic, metrics = descend(state.critic, loss, hparams.critic_learning_rate)
        bar = polyak(state.target, critic.params, hparams.tau)
        state = state._replace(critic=critic, target=bar, updates=state.updates + 1.0)
        return state, metrics | {"target": target.mean()}

    def update(
        self, state: EXPOState, batch: Batch, noise: Noise, hparams: EXPOHyperparameters
    ) -> tuple[EXPOState, Metrics]:
        """One update of Q, of π_edit down E[ α log π_edit(e|s,b) − Q(s, b + c e) ], of α, and of π_base down L_BC."""
        state, metrics = self.update_critic(state, batch, noise, hparams)
        obs, alpha = state.normalizer(batch.obs), state.temperature.params["log"].exp()
        base = self._base(state, obs).unsqueeze().sample(noise["base"])

        def loss(params: Params) -> Loss:
            edits = apply(self.editor, params, obs, base)
            latent = edits.latent(noise["edit"])
            log_prob, edited = edits.log_density(latent), self._edited(base, latent.tanh())
            q = self.ensemble.for_acting(self._q(state.critic.params, obs, edited))
            value = (alpha * log_prob - q).mean()
            return value, {"actor_loss": value, "entropy": -log_prob.mean(), "q_policy": q.mean()}

        edit, of_edit = descend(state.edit, loss, hparams.edit_learning_rate)
        excess = of_edit["entropy"] - hparams.target_entropy
        temperature, of_temperature = tempered(state.temperature, excess, hparams.temperature_learning_rate)
        state = state._replace(edit=edit, temperature=temperature)
        imitating, of_base = self.clone.update(state._replace(bc=state.base), batch, noise, hparams)
        metrics |= of_edit | of_temperature | {"temperature": alpha, "imitation_loss": of_base["loss"]}
        return state._replace(base=imitating.bc), metrics

    def act(self, state: EXPOState, obs: Tensor, noise: Noise, deterministic: bool) -> Tensor:
        """Actions (B, d) at observations (B, obs_dim): the best of the candidates by Q."""
        if deterministic:
            return _best(self.rank(state, obs, noise))
        obs = state.normalizer(obs)
        base = self._base(state, obs).unsqueeze().sample(noise["base"])
        return _best(self._candidates(state, obs, base, noise["edit"]))

    def rank(self, state: EXPOState, obs: Tensor, noise: Noise) -> WeightedActions:
        """The mode of π_base and fixed draws of it, with the mode of the edits of each, and their Q."""
        obs = state.normalizer(obs)
        base = self._base(state, obs)
        # a shape, where `len` would fix the size of the batch in an exported policy
        draws = self._mode_draws.to(obs).expand(obs.shape[0], -1, -1)
        actions = torch.cat([base.mode().unsqueeze(1), base.unsqueeze().sample(draws)], dim=1)
        return self._candidates(state, obs, actions, torch.zeros_like(actions))

    def act_noise(self, count: int, generator: torch.Generator) -> Noise:
        """The random numbers of the candidates at `count` observations."""
        shapes = {"base": (count, self.count, self.draws), "edit": (count, self.count, self.dims)}
        return {name: normal(shape, generator) for name, shape in shapes.items()}

    def value(self, state: EXPOState, obs: Tensor, action: Tensor) -> Tensor:
        """Q (B,) of actions at observations (B, obs_dim)."""
        q = self._q(state.critic.params, state.normalizer(obs), action.unsqueeze(1))
        return self.ensemble.for_acting(q).squeeze(-1)

    def _candidates(self, state: EXPOState, obs: Tensor, base: Tensor, noise: Tensor) -> WeightedActions:
        """N actions (B, N, d) at normalised observations and N edited ones, (B, 2N, d), with their Q as weights."""
        edited = self._edited(base, apply(self.editor, state.edit.params, obs, base).sample(noise))
        actions = torch.cat([base, edited], dim=1)
        return WeightedActions(actions, self.ensemble.for_acting(self._q(state.critic.params, obs, actions)))

    def _base(self, state: EXPOState, obs: Tensor) -> Any:
        """π_base(·|s) at normalised observations."""
        return self.clone.prior.at(state.base.params, obs, None)

    def _edited(self, base: Tensor, edit: Tensor) -> Tensor:
        """b + c e, in the space."""
        return (base + self.scale * edit).clamp(-1.0, 1.0)

    def _q(self, params: Params, obs: Tensor, actions: Tensor) -> Tensor:
        """Q of each critic (E, B, N) at normalised observations and N actions for each."""
        values: Tensor = apply(self.critics, params, obs, actions)
        return values


def _best(weighted: WeightedActions) -> Tensor:
    """The action (B, d) of the largest weight."""
    actions, weight = weighted
    best = weight.argmax(-1).view(-1, 1, 1).expand(-1, 1, actions.shape[-1])
    return actions.gather(1, best).squeeze(1)


def _editor(config: Config, own: EXPOConfig, spaces: Spaces, device: torch.device) -> nn.Module:
    """The network of π_edit.

    Raises:
        ConfigError: if it does not fit into memory.
    """
    network, width = config.network.actor, spaces.action.width

    def build() -> nn.Module:
        return EditPolicy(actor_net(network, spaces.obs_dim + width, 2 * width), own.log_std_min, own.log_std_max)

    return fitting("network.actor.hidden", network.hidden, build, device)
