"""V_BC, what the clone earns: the baseline from which Q_R says how much better an action is."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from rql.agents.rql.residual import RQLHyperparameters, RQLState
from rql.agents.statistics import ReturnStatistics, Statistics
from rql.data.batch import TO_END, Batch
from rql.method.losses import explained_variance, value_loss
from rql.method.targets import td_target
from rql.nn.network import Params, apply, parameters_of
from rql.optim.adam import Loss, Metrics, descend


@dataclass(frozen=True)
class NoBaseline:
    """V_BC = 0: Q_R is Q itself, in the unit of the reward."""

    n_step: ClassVar[int | None] = None
    """Steps of the transitions that it learns from; None where that is nothing."""

    def initial(self) -> Params:
        """The parameters before anything was learned; empty, for there are none."""
        return {}

    def returns(self, statistics: Statistics) -> ReturnStatistics:
        """The zero and the unit of Q_R."""
        mean = statistics.returns.mean
        return ReturnStatistics(mean.new_zeros(()), mean.new_ones(()))

    def value(self, state: RQLState, obs: Tensor) -> Tensor:
        """V_BC (B,) in the unit of Q_R, at normalised observations (B, obs_dim)."""
        return (state.returns.mean / state.returns.std).expand(len(obs))

    def learn(
        self, state: RQLState, batch: Batch, obs: Tensor, hparams: RQLHyperparameters
    ) -> tuple[RQLState, Metrics]:
        """What V_BC learns from a batch, whose transitions go on to the ends of their episodes: nothing."""
        return state, {}


@dataclass(frozen=True)
class MeanBaseline(NoBaseline):
    """V_BC is the mean return of the data in every state, and the unit of Q_R their standard deviation."""

    def returns(self, statistics: Statistics) -> ReturnStatistics:
        """The zero and the unit of Q_R."""
        return statistics.returns


@dataclass(frozen=True)
class ValueBaseline(MeanBaseline):
    """V_BC(s) = mean + std · v(s), where v learns the returns of the data."""

    n_step = TO_END
    net: nn.Module
    """v."""

    def initial(self) -> Params:
        """The parameters of v as they were drawn."""
        return parameters_of(self.net)

    def value(self, state: RQLState, obs: Tensor) -> Tensor:
        """V_BC (B,) in the unit of Q_R, at normalised observations (B, obs_dim)."""
        return self._value(state, state.baseline.params, obs)

    def learn(
        self, state: RQLState, batch: Batch, obs: Tensor, hparams: RQLHyperparameters
    ) -> tuple[RQLState, Metrics]:
        """One step down E[(V_BC(s) − G)²], where G is the return of s, bootstrapped where its episode was cut off."""
        reward, last = batch.reward / state.returns.std, state.normalizer(batch.next_obs)
        returns = td_target(reward, batch.terminated, self.value(state, last), hparams.discount**batch.steps).detach()

        def loss(params: Params) -> Loss:
            value = self._value(state, params, obs)
            error = value_loss(value, returns)
            return error, {"value_loss": error, "explained_variance": explained_variance(value, returns)}

        baseline, metrics = descend(state.baseline, loss, hparams.baseline_learning_rate)
        return state._replace(baseline=baseline), metrics

    def _value(self, state: RQLState, params: Params, obs: Tensor) -> Tensor:
        value: Tensor = apply(self.net, params, obs)
        return state.returns.mean / state.returns.std + value
