"""Behaviour cloning: the baseline of everything that is finetuned."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rql.agents.base import AgentPolicy, Noise, TrainingStage, action_noise, scalars
from rql.agents.prior import build_prior
from rql.agents.statistics import Statistics
from rql.config.agents.bc import BCAgentConfig
from rql.config.schema import Config
from rql.data.batch import ACTION_MASK, Batch
from rql.envs.spaces import Spaces
from rql.nn.network import Params
from rql.nn.normalizer import Normalizer
from rql.optim.adam import Learned, Loss, Metrics, descend, learned


class BCState(NamedTuple):
    """All of the agent that changes."""

    normalizer: Normalizer
    bc: Learned
    updates: Tensor
    """None: nothing is learned by reinforcement."""


class BCHyperparameters(NamedTuple):
    """The numbers of an update."""

    bc_learning_rate: Tensor


class BC:
    """Learns π_BC: by maximum likelihood, or where `policy=flow` by flow matching."""

    needs: frozenset[str] = frozenset()

    def __init__(self, config: Config, spaces: Spaces, device: torch.device, learning_rate_scale: float) -> None:
        """Build the network. Weights are drawn from torch's global generator.

        Raises:
            ConfigError: if the policy class does not suit the actions, or the network does not fit into memory.
        """
        self.prior, self.spaces = build_prior(config, spaces, device), spaces
        self._hparams = BCHyperparameters(*scalars(device, learning_rate_scale * config.bc.learning_rate))

    @property
    def stages(self) -> Sequence[TrainingStage[BCState]]:
        """Cloning."""
        return [TrainingStage(info, (self.update,), self.update_noise) for info in BCAgentConfig.stages]

    @property
    def policies(self) -> Mapping[str, AgentPolicy[BCState]]:
        """π_BC."""
        parameters = (lambda state: state.bc.params) if self.prior.dense else None
        return {"bc": AgentPolicy(self.act, self.act_noise, parameters=parameters)}

    def init(self, statistics: Statistics) -> BCState:
        """The state before any update."""
        updates = torch.zeros((), device=statistics.normalizer.mean.device)
        return BCState(statistics.normalizer, learned(self.prior.initial()), updates)

    def hparams(self, stage: str, step: int) -> BCHyperparameters:
        """The learning rate."""
        return self._hparams

    def scheduled(self, state: BCState, hparams: BCHyperparameters) -> BCState:
        """The state as it is: nothing is scheduled."""
        return state

    def update_noise(self, batch: int, hparams: BCHyperparameters, generator: torch.Generator) -> Noise:
        """The random numbers of one update: those of flow matching."""
        return self.prior.noise(batch, generator)

    def update(self, state: BCState, batch: Batch, noise: Noise, hparams: BCHyperparameters) -> tuple[BCState, Metrics]:
        """One update of π_BC down L_BC, E[−log π_BC(a|s)] where it has a density."""
        obs = state.normalizer(batch.obs)

        def loss(params: Params) -> Loss:
            value = self.prior.loss(params, obs, batch.action, batch.extra.get(ACTION_MASK), noise)
            return value, {"loss": value}

        bc, metrics = descend(state.bc, loss, hparams.bc_learning_rate)
        return state._replace(bc=bc), metrics

    def act(self, state: BCState, obs: Tensor, noise: Noise, deterministic: bool) -> Tensor:
        """Actions (B,) or (B, d) at observations (B, obs_dim)."""
        policy = self.prior.at(state.bc.params, state.normalizer(obs), None)
        action: Tensor = policy.mode() if deterministic else policy.sample(noise["action"])
        return action

    def act_noise(self, count: int, generator: torch.Generator) -> Noise:
        """The random numbers of one `act` at `count` observations."""
        return action_noise(self.spaces.action, count, generator, self.prior.further_draws)
