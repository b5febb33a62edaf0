"""The hyper-parameters of residual Q-learning over the steps of a run."""

import math

import torch

from rql.agents.rql.residual import RQLHyperparameters
from rql.config.method import KLBetaConfig, NetworkCompositionConfig, ValueBaselineConfig
from rql.config.registry import implementation_of
from rql.config.schema import Config
from rql.envs.spaces import DiscreteSpec, Spaces
from rql.method.schedules import Schedule, completed, linear
from rql.utils.errors import RQLError


class RQLSchedule:
    """The hyper-parameters of residual Q-learning at each step of each stage."""

    def __init__(self, config: Config, spaces: Spaces, device: torch.device, learning_rate_scale: float = 1.0) -> None:
        self._cql, self._device = config.cql, device
        self._last_step = config.online.steps_after_warmup
        self._beta: Schedule = implementation_of("beta", config.beta)(config.beta, self._last_step)
        kl = config.beta if isinstance(config.beta, KLBetaConfig) else None
        network = config.composition if isinstance(config.composition, NetworkCompositionConfig) else None
        baseline = config.baseline
        value_rate = baseline.learning_rate if isinstance(baseline, ValueBaselineConfig) else 0.0
        self._budget_step = self._last_step * (kl.end_share if kl else 1.0)
        self._budget = kl_budget(kl, spaces) if kl else (1.0, 1.0)
        self._fixed = RQLHyperparameters(
            bc_learning_rate=self._scalar(learning_rate_scale * config.bc.learning_rate),
            baseline_learning_rate=self._scalar(learning_rate_scale * value_rate),
            critic_learning_rate=self._scalar(learning_rate_scale * config.q.learning_rate),
            actor_learning_rate=self._scalar(learning_rate_scale * network.learning_rate if network else 0.0),
            average_rate=self._scalar(network.average_rate if network else 0.0),
            max_gradient_norm=self._scalar(config.q.max_gradient_norm),
            discount=self._scalar(config.q.discount),
            tau=self._scalar(config.q.tau),
            alpha=self._weight(config.cql.alpha),
            beta=self._scalar(self.first_beta),
            kl_budget=self._scalar(self._budget[0]),
            kl_rate=self._scalar(kl.rate if kl else 0.0),
            kl_max_beta=self._scalar(kl.max if kl else 1.0),
        )

    @property
    def first_beta(self) -> float:
        """β before the first online step.

        Raises:
            RQLError: if the schedule gives what β cannot be.
        """
        return self._beta_at(0)

    def offline(self) -> RQLHyperparameters:
        """The hyper-parameters of cloning and of learning Q_R offline."""
        return self._fixed

    def online(self, step: int) -> RQLHyperparameters:
        """The hyper-parameters so many online environment steps after the warm-up.

        Raises:
            RQLError: if the schedule gives what β cannot be.
        """
        share = completed(step, 0, self._budget_step)
        return self._fixed._replace(
            alpha=self._weight(self._alpha(step)),
            beta=self._scalar(self._beta_at(step)),
            kl_budget=self._scalar(linear(*self._budget, share)),
        )

    def _beta_at(self, step: int) -> float:
        beta = self._beta(step)
        if not 0.0 <= beta < math.inf:
            where = f"{step:,} online steps after the warm-up"
            raise RQLError(f"the schedule of beta gives {beta} {where}; it must be finite, at least 0")
        return beta

    def _alpha(self, step: int) -> float:
        if not self._cql.fade_steps:
            return self._cql.online_alpha
        return linear(self._cql.alpha, self._cql.online_alpha, completed(step, 0, self._cql.fade_steps))

    def _weight(self, alpha: float) -> torch.Tensor | None:
        return self._scalar(alpha) if alpha > 0.0 else None

    def _scalar(self, value: float) -> torch.Tensor:
        return torch.tensor(value, dtype=torch.float32, device=self._device)


def kl_budget(config: KLBetaConfig, spaces: Spaces) -> tuple[float, float]:
    """The first and the last budget of KL(π_final ‖ π_BC), in nats over all action dimensions."""
    dims = 1 if isinstance(spaces.action, DiscreteSpec) else spaces.action.width
    return config.budget_start * dims, config.budget_end * dims
