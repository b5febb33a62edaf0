"""The typed configuration of the stages: how long each goes on, and what it learns from."""

from collections.abc import Iterator
from dataclasses import dataclass

from omegaconf import MISSING

from rql.config.choices import Vectorization
from rql.config.method import ResampleConfig
from rql.config.settings import Check, Role, WholeConfig, at_least, between, fraction, positive, setting


@dataclass
class BCConfig:
    """The first stage: behaviour cloning."""

    updates: int = at_least(MISSING, 0)
    """The length of the stage; 0 skips it."""
    learning_rate: float = positive(3e-4)
    """Of the network of π_BC."""
    eval_every: int = at_least(0, 0, Role.how)
    """Updates between evaluations; 0 evaluates at the end of the stage only."""


@dataclass
class OfflineConfig:
    """The second stage: Q_R on D_offline."""

    updates: int = at_least(MISSING, 0)
    """The length of the stage; 0 skips it."""
    eval_every: int = at_least(0, 0, Role.how)
    """Updates between evaluations; 0 evaluates at the end of the stage only."""


@dataclass
class OnlineConfig:
    """The third stage: finetuning in the environment."""

    env_steps: int = at_least(MISSING, 0, Role.budget)
    """The length of the stage; 0 skips it."""
    warmup_fraction: float = between(0.1, 0, 1)
    """The share of the environment steps that is collected with the composed policy before the first update."""
    utd: float = at_least(1.0, 0)
    """Updates to an environment step. Of several, the last is one of π_θ and of an adaptive β too, the others of Q_R
    alone.
    """
    overlap: bool = False
    """Make the updates of a step while the environments make it, in processes of their own
    (env.vectorization=subprocess): then they lack its transitions, which the next ones have.
    """
    noise_correlation: float = between(0.0, 0, 0.999)
    """Of the random numbers of an action in training with those of the one before, in each episode; continuous actions
    only. Each action is distributed as before, and the way it strays lasts for about 1/(1−ρ) steps.
    """
    eval_every: int = at_least(0, 0, Role.how)
    """Environment steps between evaluations; 0 evaluates at the end of the stage only."""
    stop_return: float | None = setting(None, Role.budget)
    """End the stage at the first evaluation whose mean return reaches this."""
    stop_success: float | None = fraction(None, Role.budget)
    """End the stage at the first evaluation whose success rate reaches this, where env.headline=success."""
    save_replay: str | None = setting(None, Role.how)
    """A Minari id under which the episodes of this stage are kept."""

    def check(self, config: WholeConfig) -> Iterator[Check]:
        """Whether what is correlated decides the actions, and environments can step meanwhile."""
        chosen = "composition" in config.agent.reads and isinstance(config.composition, ResampleConfig)
        free = not (self.noise_correlation and chosen)
        yield "online.noise_correlation", self.noise_correlation, free, "0 where composition=resample draws candidates"
        apart = config.env.vectorization is Vectorization.subprocess
        yield "online.overlap", self.overlap, apart or not self.overlap, "false unless env.vectorization=subprocess"

    @property
    def first_update(self) -> int:
        """The environment steps before the first update."""
        return int(self.warmup_fraction * self.env_steps)

    @property
    def steps_after_warmup(self) -> int:
        """The environment steps that schedules run over."""
        return self.env_steps - self.first_update


@dataclass
class ReplayConfig:
    """The replay buffer, and how batches mix it with D_offline."""

    capacity: int = at_least(1_000_000, 1)
    """Online transitions kept; the oldest leave first."""
    offline_fraction: float = between(0.5, 0, 1)
    """Share of each online batch that comes from D_offline."""
    offline_fraction_end: float | None = between(None, 0, 1)
    """Its value at the last online step, linear in between from the end of the warm-up; null keeps it constant."""
