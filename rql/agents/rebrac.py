"""ReBRAC (Tarasov et al. 2023): as TD3+BC, but distance to the data costs the value of the next state too."""

from typing import Any

import torch
from torch import Tensor

from rql.agents.td3_bc import TD3BC, TD3BCHyperparameters, TD3BCState
from rql.config.agents.rebrac import ReBRACConfig
from rql.config.schema import Config
from rql.data.batch import NEXT_ACTION, Batch
from rql.envs.spaces import Spaces
from rql.method.ensemble import minimum
from rql.method.schedules import completed, linear
from rql.nn.network import Params, apply
from rql.optim.adam import Loss


class ReBRAC(TD3BC):
    """Learns Q and a deterministic policy, which both pay for the squared distance to the data."""

    needs: frozenset[str] = frozenset({NEXT_ACTION})

    def __init__(self, config: Config, spaces: Spaces, device: torch.device, learning_rate_scale: float) -> None:
        """Build the networks. Weights are drawn from torch's global generator.

        Raises:
            ConfigError: if the actions are discrete, or a network does not fit into memory.
        """
        super().__init__(config, spaces, device, learning_rate_scale)
        assert isinstance(config.agent, ReBRACConfig)
        self.online_share, self.last_step = config.agent.online_share, config.online.steps_after_warmup

    def weights(self, own: Any) -> tuple[float, float]:
        """β1 and β2."""
        assert isinstance(own, ReBRACConfig)
        return own.actor_penalty, own.critic_penalty

    def hparams(self, stage: str, step: int) -> TD3BCHyperparameters:
        """The hyper-parameters; online both penalties fall."""
        if stage != "online":
            return self._hparams
        share = linear(1.0, self.online_share, completed(step, 0, self.last_step))
        fixed = self._hparams
        return fixed._replace(actor_weight=share * fixed.actor_weight, critic_weight=share * fixed.critic_weight)

    def next_value(self, state: TD3BCState, batch: Batch, next_action: Tensor, hparams: TD3BCHyperparameters) -> Tensor:
        """min_e Q̄_e(s', ã) − β2 ‖ã − a'‖² (B,); nothing is paid where the data have no a'."""
        value = super().next_value(state, batch, next_action, hparams)
        distance = (next_action - batch.extra[NEXT_ACTION]).square().sum(-1)
        return value - hparams.critic_weight * batch.extra[f"{NEXT_ACTION}_mask"] * distance

    def policy_loss(self, params: Params, state: TD3BCState, batch: Batch, hparams: TD3BCHyperparameters) -> Loss:
        """E[ β1 ‖π(s) − a‖² − λ min_e Q_e(s, π(s)) ], λ = 1 / E|min_e Q_e|."""
        obs = state.normalizer(batch.obs)
        action = apply(self.actor, params, obs)
        q = minimum(self._q(state.critic.params, obs, action))
        imitation = (action - batch.action).square().sum(-1).mean()
        value = hparams.actor_weight * imitation - q.mean() / q.abs().mean().detach()
        return value, {"actor_loss": value, "imitation_loss": imitation, "q_policy": q.mean()}
