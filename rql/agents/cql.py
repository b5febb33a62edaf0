"""Conservative Q-learning (Kumar et al. 2020): CQL(H) on top of soft actor-critic."""

from typing import Any

import torch
from torch import Tensor

from rql.agents.base import Noise, normal, scalars, uniform
from rql.agents.sac import SAC, SACHyperparameters, SACState, fitted
from rql.config.agents.cql import CQLAgentConfig
from rql.config.schema import Config
from rql.data.batch import Batch
from rql.envs.spaces import Spaces
from rql.method.actions import sample_proposals
from rql.method.losses import cql_loss
from rql.nn.network import Params, apply
from rql.optim.adam import Loss


class CQL(SAC):
    """Soft actor-critic with L_TD + α_CQL L_CQL in the place of L_TD."""

    def __init__(self, config: Config, spaces: Spaces, device: torch.device, learning_rate_scale: float) -> None:
        """Build the networks. Weights are drawn from torch's global generator.

        Raises:
            ConfigError: if the actions are discrete, or a network does not fit into memory.
        """
        super().__init__(config, spaces, device, learning_rate_scale)
        own = config.agent
        assert isinstance(own, CQLAgentConfig)
        self.num_samples = own.num_samples
        weights = {"offline": own.alpha, "online": own.online_alpha}
        self._penalty = {stage: scalars(device, weight)[0] if weight else None for stage, weight in weights.items()}

    def hparams(self, stage: str, step: int) -> SACHyperparameters:
        """The hyper-parameters: all but α_CQL are the same in both stages."""
        return self._hparams._replace(penalty=self._penalty[stage])

    def update_noise(self, batch: int, hparams: SACHyperparameters, generator: torch.Generator) -> Noise:
        """The random numbers of one update: besides those of soft actor-critic, of the actions of L_CQL."""
        noise = super().update_noise(batch, hparams, generator)
        if hparams.penalty is not None:
            noise["space_uniform"] = uniform((batch, self.num_samples, self.dims), generator)
            noise["space_normal"] = normal((batch, 2, self.num_samples, self.dims), generator)
        return noise

    def critic_loss(
        self, params: Params, state: SACState, batch: Batch, target: Tensor, noise: Noise, hparams: SACHyperparameters
    ) -> Loss:
        """L_TD + α_CQL Σ_e E[ log ∫ exp Q_e(s,a) da − Q_e(s,a) ], equation 4."""
        if hparams.penalty is None:
            return super().critic_loss(params, state, batch, target, noise, hparams)
        obs, next_obs = state.normalizer(batch.obs), state.normalizer(batch.next_obs)
        policies: Any = [apply(self.actor, state.actor.params, where) for where in (obs, next_obs)]
        space = sample_proposals(policies, noise["space_uniform"], noise["space_normal"])
        actions = torch.cat([batch.action.unsqueeze(1), space.actions], dim=1)
        q_data, q_space = apply(self.critics, params, obs, actions).tensor_split([1], dim=-1)
        loss, metrics = fitted(q_data.squeeze(-1), target)
        conservative = cql_loss(self.of_space(q_space, batch), space.log_weight, q_data.squeeze(-1))
        return loss + hparams.penalty * conservative, metrics | {"cql_loss": conservative}

    def of_space(self, q: Tensor, batch: Batch) -> Tensor:
        """Q (E, B, 3M) of uniform actions, of those of π in s, and of those of π in s', as they are pushed down."""
        return q
