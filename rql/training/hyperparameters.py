"""The numbers of an update at a moment of the run."""

import torch

from rql.agents.state import Hyperparameters
from rql.config.method import AmortizedConfig, KLBetaConfig
from rql.config.registry import implementation_of
from rql.config.schema import Config
from rql.method.schedules import Schedule, linear, progress


class HyperparameterSchedule:
    """The hyper-parameters offline and at each online step."""

    def __init__(self, config: Config, device: torch.device, learning_rate_scale: float = 1.0) -> None:
        self._config, self._device = config, device
        self._beta: Schedule = implementation_of("beta", config.beta)(config.beta, config.online.env_steps)
        kl = config.beta if isinstance(config.beta, KLBetaConfig) else None
        composition = config.composition
        actor_rate = composition.learning_rate if isinstance(composition, AmortizedConfig) else 0.0
        self._budget = (kl.budget_start, kl.budget_end) if kl else (1.0, 1.0)
        self._fixed = Hyperparameters(
            bc_learning_rate=self._scalar(learning_rate_scale * config.bc.learning_rate),
            critic_learning_rate=self._scalar(learning_rate_scale * config.q.learning_rate),
            actor_learning_rate=self._scalar(learning_rate_scale * actor_rate),
            discount=self._scalar(config.q.discount),
            tau=self._scalar(config.q.tau),
            alpha=self._scalar(config.cql.alpha),
            beta=self._scalar(self.first_beta),
            kl_budget=self._scalar(self._budget[0]),
            kl_rate=self._scalar(kl.rate if kl else 0.0),
            kl_max_beta=self._scalar(kl.max if kl else 1.0),
        )

    @property
    def first_beta(self) -> float:
        """β before the first online step."""
        return self._beta(0)

    def offline(self) -> tuple[Hyperparameters, bool]:
        """The hyper-parameters of the first two stages, and whether the CQL term is computed."""
        return self._fixed, self._config.cql.alpha > 0.0

    def online(self, step: int) -> tuple[Hyperparameters, bool]:
        """The same at an online environment step."""
        alpha = self._alpha(step)
        share = progress(step, 0, self._config.online.env_steps)
        moved = self._fixed._replace(
            alpha=self._scalar(alpha),
            beta=self._scalar(self._beta(step)),
            kl_budget=self._scalar(linear(*self._budget, share)),
        )
        return moved, alpha > 0.0

    def offline_fraction(self, step: int) -> float:
        """The share of offline transitions in a batch at an online environment step."""
        replay = self._config.replay
        end = replay.offline_fraction if replay.offline_fraction_end is None else replay.offline_fraction_end
        return linear(replay.offline_fraction, end, progress(step, 0, self._config.online.env_steps))

    def _alpha(self, step: int) -> float:
        cql = self._config.cql
        if not cql.fade_steps:
            return cql.online_alpha
        return linear(cql.alpha, cql.online_alpha, progress(step, 0, cql.fade_steps))

    def _scalar(self, value: float) -> torch.Tensor:
        return torch.tensor(value, dtype=torch.float32, device=self._device)
