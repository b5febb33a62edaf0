"""ReBRAC (Tarasov et al. 2023): as TD3+BC, but distance to the data costs the value of the next state too."""

from typing import Any

from torch import Tensor

from rql.agents.td3_bc import TD3BC, TD3BCHyperparameters, TD3BCState
from rql.config.agents.rebrac import ReBRACConfig
from rql.data.batch import NEXT_ACTION, Batch
from rql.method.ensemble import minimum
from rql.nn.network import Params, apply
from rql.optim.adam import Loss


class ReBRAC(TD3BC):
    """Learns Q and a deterministic policy, which both pay for the squared distance to the data."""

    needs: frozenset[str] = frozenset({NEXT_ACTION})

    def weights(self, own: Any) -> tuple[float, float]:
        """β1 and β2."""
        assert isinstance(own, ReBRACConfig)
        return own.actor_penalty, own.critic_penalty

    def next_value(self, state: TD3BCState, batch: Batch, next_action: Tensor, hparams: TD3BCHyperparameters) -> Tensor:
        """min_e Q̄_e(s', ã) − w β2 ‖ã − a'‖² (B,), w the share that is left; without a' nothing is paid."""
        value = super().next_value(state, batch, next_action, hparams)
        distance = (next_action - batch.extra[NEXT_ACTION]).square().sum(-1)
        return value - hparams.imitation * hparams.critic_weight * batch.extra[f"{NEXT_ACTION}_mask"] * distance

    def policy_loss(self, params: Params, state: TD3BCState, batch: Batch, hparams: TD3BCHyperparameters) -> Loss:
        """E[ w β1 ‖π(s) − a‖² − λ min_e Q_e(s, π(s)) ], λ = 1 / E|min_e Q_e|."""
        obs = state.normalizer(batch.obs)
        action = apply(self.actor, params, obs)
        q = minimum(self._q(state.critic.params, obs, action))
        imitation = (action - batch.action).square().sum(-1).mean()
        value = hparams.imitation * hparams.actor_weight * imitation - q.mean() / q.abs().mean().detach()
        return value, {"actor_loss": value, "imitation_loss": imitation, "q_policy": q.mean()}
