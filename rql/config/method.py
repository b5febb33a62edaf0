"""The typed configuration of the method: β, the conservative term, the composition, the TD target, learning Q."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from omegaconf import MISSING

from rql.config.choices import PolicyClass
from rql.config.registry import choice_of, register
from rql.config.settings import Check, WholeConfig, at_least, between, fraction, positive


@dataclass
class BetaConfig:
    """β in π_final ∝ π_BC · exp(β Q). Offline it keeps its first value; the schedule runs over the environment
    steps after the warm-up.
    """


@register("beta", "constant", "rql.method.schedules:constant_beta")
@dataclass
class ConstantBetaConfig(BetaConfig):
    """β(t) = value."""

    value: float = at_least(MISSING, 0)
    """β at every step."""


@dataclass
class RampBetaConfig(BetaConfig):
    """β moves from `start` to `end`; never down, for Q is trusted more as it learns."""

    start: float = at_least(MISSING, 0)
    """β offline, and online as it starts."""
    end: float = at_least(MISSING, 0)
    """β in the end."""
    start_share: float = between(0.0, 0, 1)
    """The share of the environment steps after the warm-up until β starts to move."""
    end_share: float = fraction(0.25)
    """The share of them until it reaches `end`."""

    def check(self, config: WholeConfig) -> Iterator[Check]:
        """Whether β goes up, and has the time to."""
        yield "beta.end", self.end, self.start <= self.end < math.inf, f"at least beta.start={self.start}"
        later = self.end_share > self.start_share
        yield "beta.end_share", self.end_share, later, f"above beta.start_share={self.start_share}"


@register("beta", "linear", "rql.method.schedules:linear_beta")
@dataclass
class LinearBetaConfig(RampBetaConfig):
    """In a straight line."""


@register("beta", "cosine", "rql.method.schedules:cosine_beta")
@dataclass
class CosineBetaConfig(RampBetaConfig):
    """Slowly, fast, slowly."""


@register("beta", "exponential", "rql.method.schedules:exponential_beta")
@dataclass
class ExponentialBetaConfig(RampBetaConfig):
    """By the same factor at every step."""

    start: float = positive(MISSING)
    """β offline, and online as it starts."""


@register("beta", "piecewise", "rql.method.schedules:piecewise_beta")
@dataclass
class PiecewiseBetaConfig(BetaConfig):
    """In straight lines from point to point, and constant before the first and after the last."""

    steps: list[int] = at_least([], 0)
    """The environment steps after the warm-up of the points, increasing."""
    values: list[float] = at_least([], 0)
    """β at each of them."""

    def check(self, config: WholeConfig) -> Iterator[Check]:
        """Whether the points can be joined."""
        increasing = bool(self.steps) and all(one < other for one, other in pairwise(self.steps))
        yield "beta.steps", self.steps, increasing, "one increasing step or more"
        allowed = f"a value for each of the {len(self.steps)} steps"
        yield "beta.values", self.values, len(self.values) == len(self.steps), allowed


@register("beta", "kl", "rql.method.schedules:first_kl_beta")
@dataclass
class KLBetaConfig(BetaConfig):
    """Adapts β so that the measured KL(π_final ‖ π_BC) follows a budget, in nats for each action dimension; discrete
    actions count as one.
    """

    initial: float = positive(MISSING)
    """β before the first update."""
    budget_start: float = positive(MISSING)
    """The budget offline, and as learning online begins."""
    budget_end: float = positive(MISSING)
    """The budget in the end; linear in between."""
    end_share: float = fraction(1.0)
    """The share of the environment steps after the warm-up until the budget reaches `budget_end`."""
    rate: float = positive(0.003)
    """Relative change of β in one update when the KL is off by the whole budget."""
    max: float = positive(100.0)
    """The largest β."""

    def check(self, config: WholeConfig) -> Iterator[Check]:
        """Whether the budget grows, and β can."""
        low, high = self.budget_start, self.budget_end
        yield "beta.budget_end", high, low <= high < math.inf, f"at least beta.budget_start={low}"
        yield "beta.max", self.max, self.initial <= self.max, f"at least beta.initial={self.initial}"


@dataclass
class CQLConfig:
    """The conservative term L_CQL."""

    alpha: float = at_least(MISSING, 0)
    """Weight α_CQL of the conservative term offline."""
    online_alpha: float = at_least(0.0, 0)
    """Its weight after the switch to online finetuning."""
    fade_steps: int = at_least(0, 0)
    """Environment steps after the warm-up over which α moves linearly from `alpha` to `online_alpha`; 0 is at once."""
    num_samples: int = at_least(10, 1)
    """Actions from each proposal (uniform and policy) in the estimate of log ∫ exp Q; continuous actions only."""


@dataclass
class CompositionConfig:
    """How π_final is sampled. Discrete actions need no estimate: their composition is an exact sum either way."""


@register("composition", "resample")
@dataclass
class ResampleConfig(CompositionConfig):
    """N candidates from π_BC, one of them by softmax(β Q)."""

    num_candidates: int = at_least(32, 2)
    """Actions drawn from π_BC, of which softmax(β Q) picks one."""


@dataclass
class NetworkCompositionConfig(CompositionConfig):
    """A network π_θ that follows π_final."""

    learning_rate: float = positive(3e-4)
    """Of the network π_θ that follows π_final."""
    average_rate: float = fraction(5e-4)
    """Running average of the weights of π_θ, which acts: π̄ ← (1−ρ) π̄ + ρ π_θ at each update of π_θ; 1 is π_θ itself.
    It reaches back over a tenth of the updates so far, and later over 1/ρ of them.
    """


@register("composition", "amortized")
@dataclass
class AmortizedConfig(NetworkCompositionConfig):
    """A network π_θ, at first a copy of π_BC, that minimises KL(π_θ ‖ π_final)."""


@register("composition", "residual")
@dataclass
class ResidualConfig(NetworkCompositionConfig):
    """A bounded correction of actions that π_BC proposes, π_θ = E_{b~π_BC} N(b + δ_θ(s,b), σ²), at first 0."""

    scale: float = between(0.2, 0, 2)
    """The largest correction of an action dimension, whose range is [−1, 1]."""
    width: float = fraction(0.1)
    """σ, by which π_BC is smoothed and π_θ explores; a correction by σ costs half a nat of KL."""

    def check(self, config: WholeConfig) -> Iterator[Check]:
        """Whether there is a clone to correct."""
        cloned = config.policy.name is not PolicyClass.uniform
        yield "composition", "residual", cloned, "amortized or resample where policy=uniform"


def without_density(name: str, config: WholeConfig) -> Iterator[Check]:
    """Whether the rest can do with samples of π_BC alone, which is `name`."""
    amortized, resample = (isinstance(config.composition, kind) for kind in (AmortizedConfig, ResampleConfig))
    allowed = f"residual or resample: {name} is composed by its samples"
    yield "composition", choice_of("composition", config.composition).name, not amortized, allowed
    allowed = f"0 with {name} and composition=resample, for it takes a density"
    for key, alpha in (("cql.alpha", config.cql.alpha), ("cql.online_alpha", config.cql.online_alpha)):
        yield key, alpha, alpha == 0 or not resample, allowed


@dataclass
class TargetConfig:
    """The value of the next state in the TD target."""

    num_samples: int = at_least(10, 1)
    """Actions in the estimate of the next state's value; continuous actions only."""


@register("target", "max", "rql.method.targets:max_value")
@dataclass
class MaxTargetConfig(TargetConfig):
    """max_a' Q̄(s',a'), the hard backup."""


@register("target", "soft", "rql.method.targets:soft_value")
@dataclass
class SoftTargetConfig(TargetConfig):
    """(1/β) log E_{a'~π_BC} exp(β Q̄(s',a')), the backup of KL-regularised control."""


@register("target", "expected", "rql.method.targets:expected_value")
@dataclass
class ExpectedTargetConfig(TargetConfig):
    """E_{a'~π_final} Q̄(s',a')."""


@register("target", "prior", "rql.method.targets:prior_value")
@dataclass
class PriorTargetConfig(TargetConfig):
    """E_{a'~π_BC} Q̄(s',a'): the value of the clone, over which π_final is one step of improvement."""


@dataclass
class NetworkTargetConfig(TargetConfig):
    """The value of the next state on actions of the network of the composition."""


@register("target", "policy", "rql.method.targets:policy_value")
@dataclass
class PolicyTargetConfig(NetworkTargetConfig):
    """E_{a'~π_θ} Q̄(s',a') − KL(π_θ ‖ π_BC)/β: what the network of the composition itself is worth."""


@register("target", "return", "rql.method.targets:return_value")
@dataclass
class ReturnTargetConfig(NetworkTargetConfig):
    """E_{a'~π_θ} Q̄(s',a'): the return of the network of the composition, whose KL costs nothing in later states."""


@dataclass
class BaselineConfig:
    """V_BC, what the clone earns: Q = V_BC + Q_R."""

    def check(self, config: WholeConfig) -> Iterator[Check]:
        """Whether there are returns to know it from."""
        name = choice_of("baseline", self).name
        yield "baseline", name, config.policy.name is not PolicyClass.uniform, "none where policy=uniform"


@register("baseline", "none", "rql.agents.rql.baseline:NoBaseline")
@dataclass
class NoBaselineConfig(BaselineConfig):
    """0: Q_R is Q itself, in the unit of the reward."""

    def check(self, config: WholeConfig) -> Iterator[Check]:
        """Nothing that could not work."""
        return iter(())


@register("baseline", "mean", "rql.agents.rql.baseline:MeanBaseline")
@dataclass
class MeanBaselineConfig(BaselineConfig):
    """The mean return of D_offline, whose standard deviation is the unit of Q_R."""


@register("baseline", "value", "rql.agents.rql.baseline:ValueBaseline")
@dataclass
class ValueBaselineConfig(BaselineConfig):
    """V_BC(s), learned with π_BC from the returns of D_bc; the standard deviation of D_offline's is the unit of Q_R."""

    learning_rate: float = positive(1e-3)
    """Of the network of V_BC."""


@dataclass
class QConfig:
    """Learning Q_R."""

    learning_rate: float = positive(3e-4)
    """Of the critics."""
    discount: float = between(0.99, 0, 1)
    """γ, of one environment step."""
    tau: float = between(0.005, 0, 1)
    """Target network: Q̄ ← (1−τ) Q̄ + τ Q."""
    max_gradient_norm: float = positive(10.0)
    """The largest norm of a gradient of Q_R; a larger one is scaled down to it."""
    n_step: int = at_least(1, 1)
    """Decisions in a TD target before it bootstraps, of one action each unless `chunk.length` is above 1; fewer where
    an episode ends.
    """
    normalize: bool = True
    """Let β multiply Q divided by a running scale, its standard deviation over the actions of π_BC."""
