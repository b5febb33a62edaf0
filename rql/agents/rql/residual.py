"""π_BC, Q_R and β: what residual Q-learning learns, and what it reads from them."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn

from rql.agents.prior import ClonedPrior
from rql.agents.statistics import ReturnStatistics
from rql.method.actions import WeightedActions
from rql.method.composition import effective_sample_share, kl_from_prior
from rql.method.ensemble import Ensemble
from rql.method.targets import expected_value
from rql.nn.network import Params, apply
from rql.nn.normalizer import Normalizer
from rql.optim.adam import Learned, Metrics

SCALE_RATE = 0.005
"""Weight of a new batch in the running variance of Q; higher at first, so that the mean has no bias."""


class RQLState(NamedTuple):
    """All of the agent that changes."""

    normalizer: Normalizer
    bc: Learned
    """π_BC."""
    baseline: Learned
    """V_BC; empty where it is a constant."""
    returns: ReturnStatistics
    """The zero and the unit of Q_R: a return is mean + std · (v + Q_R)."""
    critic: Learned
    """Q_R."""
    target: Params
    """Q̄."""
    actor: Learned
    """π_θ; empty where the composition needs no network."""
    average: Params
    """π̄_θ, the running average of the weights of π_θ, which acts; empty where there is no π_θ."""
    q_scale: Tensor
    """The root of a running mean, over states, of the variance of Q_R(s,a) over a ~ π_BC."""
    beta: Tensor
    updates: Tensor
    """Updates of the critic, a float scalar."""


class RQLHyperparameters(NamedTuple):
    """The numbers of an update that may differ between runs or change during one, all scalars."""

    bc_learning_rate: Tensor
    baseline_learning_rate: Tensor
    critic_learning_rate: Tensor
    actor_learning_rate: Tensor
    average_rate: Tensor
    """Of π̄_θ."""
    max_gradient_norm: Tensor
    """Of Q_R."""
    discount: Tensor
    tau: Tensor
    alpha: Tensor | None
    """α_CQL; None where the conservative term is not computed."""
    beta: Tensor
    """β of the schedule; not read where β follows a KL budget."""
    kl_budget: Tensor
    kl_rate: Tensor
    kl_max_beta: Tensor


@dataclass(frozen=True)
class Residual:
    """π_BC and Q_R as functions of a state. Observations are normalised ones everywhere here."""

    prior: ClonedPrior
    """What π_BC is."""
    critics: nn.Module
    """The ensemble Q_R, (E, B, N)."""
    ensemble: Ensemble
    normalize_q: bool
    """Whether β multiplies Q divided by its running scale."""

    def bc(self, state: RQLState, obs: Tensor, proposals: Tensor | None = None) -> Any:
        """π_BC(·|s) at observations (B, obs_dim); of another policy, the K actions (B, K, d) that it proposes there."""
        return self.prior.at(state.bc.params, obs, proposals)

    def values(self, params: Params, obs: Tensor, actions: Tensor) -> Tensor:
        """Q of each critic (E, B, N) at observations (B, obs_dim) and N actions for each."""
        values: Tensor = apply(self.critics, params, obs, actions)
        return values

    def q(self, state: RQLState, obs: Tensor, actions: Tensor) -> Tensor:
        """Q_R (B, N) as it is seen where actions are chosen."""
        return self.ensemble.for_acting(self.values(state.critic.params, obs, actions))

    def effective_beta(self, state: RQLState) -> Tensor:
        """The factor of Q in the exponent: β, divided by the scale of Q when that is normalised."""
        return state.beta / state.q_scale.clamp_min(1e-6) if self.normalize_q else state.beta

    def measure(self, state: RQLState, obs: Tensor, weighted: WeightedActions) -> Metrics:
        """π_final on weighted actions that stand for π_BC at observations (B, obs_dim)."""
        composed = self.q(state, obs, weighted.actions), weighted.log_weight, self.effective_beta(state)
        return {
            "kl": kl_from_prior(*composed).mean(),
            "ess": effective_sample_share(*composed).mean(),
            "q_policy": expected_value(*composed).mean(),
        }


def with_variance(state: RQLState, variance: Tensor) -> RQLState:
    """The state with the scale of Q brought up to date by the variance of a batch."""
    rate = (1.0 / (state.updates + 1.0)).clamp_min(SCALE_RATE)
    return state._replace(q_scale=state.q_scale.square().lerp(variance, rate).sqrt())
