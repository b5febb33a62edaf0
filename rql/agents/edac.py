"""Ensemble-diversified actor-critic (An et al. 2021): soft actor-critic with critics that differ in their gradients."""

from typing import Any

import torch
from torch import Tensor
from torch.func import grad

from rql.agents.base import Noise, scalars
from rql.agents.sac import SAC, SACHyperparameters, SACState
from rql.config.agents.edac import EDACConfig
from rql.config.schema import Config
from rql.data.batch import Batch
from rql.envs.spaces import Spaces
from rql.method.losses import likeness
from rql.nn.network import Params, apply
from rql.optim.adam import Loss


class EDAC(SAC):
    """Soft actor-critic with L_TD + η L_ES in the place of L_TD."""

    def __init__(self, config: Config, spaces: Spaces, device: torch.device, learning_rate_scale: float) -> None:
        """Build the networks. Weights are drawn from torch's global generator.

        Raises:
            ConfigError: if the actions are discrete, or a network does not fit into memory.
        """
        super().__init__(config, spaces, device, learning_rate_scale)
        own: Any = config.agent
        assert isinstance(own, EDACConfig)
        self._hparams: SACHyperparameters = self._hparams._replace(penalty=scalars(device, own.diversity)[0])

    def critic_loss(
        self, params: Params, state: SACState, batch: Batch, target: Tensor, noise: Noise, hparams: SACHyperparameters
    ) -> Loss:
        """L_TD + η E[ Σ_{i≠j} ⟨∇_a Q_i, ∇_a Q_j⟩ / (E − 1) ] with gradients of length 1."""
        assert hparams.penalty is not None
        loss, metrics = super().critic_loss(params, state, batch, target, noise, hparams)
        obs = state.normalizer(batch.obs)
        copies = batch.action.unsqueeze(1).expand(self.ensemble.size, -1, -1, -1)

        def total(actions: Tensor) -> Tensor:
            value: Tensor = apply(self.critics, params, obs, actions).sum()
            return value

        alike = likeness(grad(total)(copies).squeeze(2))
        return loss + hparams.penalty * alike, metrics | {"likeness": alike}
