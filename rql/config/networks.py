"""The typed configuration of policies and networks."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from rql.config.choices import Aggregate, PolicyClass
from rql.config.method import without_density
from rql.config.registry import choice_of, register
from rql.config.settings import Check, WholeConfig, at_least, finite, positive, section

SAMPLED = (PolicyClass.flow, PolicyClass.mixture)
"""Policies of which agents know samples, and no density that could be composed."""


@dataclass
class PolicyConfig:
    """The policy class of π_BC and π_θ."""

    name: PolicyClass = PolicyClass.auto
    """The family of distributions: `policy=NAME` chooses it."""
    log_std_min: float = -1.6
    """The smallest log standard deviation of a latent action. At -1.6, a standard deviation of 0.2, β can still move a
    clone whose demonstrations were deterministic.
    """
    log_std_max: float = finite(2.0)
    """The largest one."""
    flow_steps: int = at_least(10, 1)
    """Euler steps of a sample of `policy=flow`."""
    components: int = at_least(5, 2)
    """Gaussians of `policy=mixture`."""

    def check(self, config: WholeConfig) -> Iterator[Check]:
        """Whether scales have a range, and the agent can do with this family."""
        low, high = self.log_std_min, self.log_std_max
        yield "policy.log_std_min", low, -math.inf < low < high, f"a number below policy.log_std_max={high}"
        composed, agent = "composition" in config.agent.reads, choice_of("agent", config.agent).name
        uniform = self.name is PolicyClass.uniform
        yield (
            "policy.name",
            "uniform",
            composed or not uniform,
            f"another with agent={agent}, which clones",
        )
        if composed and self.name in SAMPLED:
            yield from without_density(f"policy={self.name.name}", config)


@dataclass
class ChunkConfig:
    """Actions that are decided on together, as one action of π_BC, Q_R and π_final."""

    length: int = at_least(1, 1)
    """h: the actions of a decision."""
    execute: int | None = at_least(None, 1)
    """Of them that are made before the next decision; null is all."""

    @property
    def executed(self) -> int:
        """Environment steps from one decision to the next."""
        return self.length if self.execute is None else self.execute

    def check(self, config: WholeConfig) -> Iterator[Check]:
        """Whether so many are made, with noise of their own."""
        yield "chunk.execute", self.execute, self.executed <= self.length, f"at most chunk.length={self.length}"
        noise = config.online.noise_correlation
        single = self.length == 1 or not noise
        yield "online.noise_correlation", noise, single, "0 where chunk.length is above 1"


@register("network/actor", "mlp", "rql.nn.mlp:actor_mlp")
@dataclass
class ActorNetworkConfig:
    """The network of π_BC and of π_θ."""

    hidden: list[int] = positive([64, 64])
    """Widths of the hidden layers."""
    layer_norm: bool = True
    """Normalise each hidden layer before its ReLU."""


@register("network/critic", "mlp", "rql.nn.mlp:critic_mlp")
@dataclass
class CriticNetworkConfig:
    """The ensemble of critics."""

    hidden: list[int] = positive([64, 64])
    """Widths of the hidden layers of each critic."""
    layer_norm: bool = True
    """Normalise each hidden layer before its ReLU."""
    ensemble_size: int = at_least(2, 1)
    """How many critics there are."""
    aggregate: Aggregate = Aggregate.min
    """How their values become one."""
    subset_size: int = at_least(2, 1)
    """Critics drawn for each update by `aggregate=random_min`."""

    def check(self, config: WholeConfig) -> Iterator[Check]:
        """Whether there are as many critics as are drawn."""
        if self.aggregate is Aggregate.random_min:
            drawn, allowed = self.subset_size, f"in [1, {self.ensemble_size}]"
            yield "network.critic.subset_size", drawn, drawn <= self.ensemble_size, allowed


@register("network/actor", "resnet", "rql.nn.resnet:actor_resnet")
@dataclass
class ResNetActorConfig(ActorNetworkConfig):
    """Residual blocks, one with each of the `hidden` widths inside."""

    width: int = at_least(64, 1)
    """The width between blocks."""


@register("network/critic", "resnet", "rql.nn.resnet:critic_resnet")
@dataclass
class ResNetCriticConfig(CriticNetworkConfig):
    """Residual blocks, one with each of the `hidden` widths inside."""

    width: int = at_least(64, 1)
    """The width between blocks."""


@dataclass
class NetworkConfig:
    """Sizes and architectures of the networks."""

    actor: ActorNetworkConfig = section(ActorNetworkConfig)
    critic: CriticNetworkConfig = section(CriticNetworkConfig)
