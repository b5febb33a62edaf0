"""What an agent is. Everything else in this package knows agents by this alone.

An agent is made of networks and named choices that are fixed for a run. All that changes is in its state, a named tuple
of tensors: a checkpoint is that tuple, and an update is a pure function from one to the next. `rql.agents.rql` is the
method of this package, `rql.agents.iql` the shortest example.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from rql.agents.statistics import Statistics
from rql.config.agents.base import StageInfo
from rql.data.batch import Batch
from rql.envs.spaces import ActionSpec, DiscreteSpec
from rql.method.actions import WeightedActions
from rql.nn.network import Params
from rql.nn.normalizer import Normalizer
from rql.optim.adam import Metrics

Noise = dict[str, Tensor]
"""The random numbers of one update or one action, by name."""


class AgentState(Protocol):
    """A named tuple of tensors and of dictionaries and named tuples of them, with at least these two fields."""

    @property
    def normalizer(self) -> Normalizer:
        """The normaliser of observations. Without a data set it is set anew before the first update."""

    @property
    def updates(self) -> Tensor:
        """Updates of what reinforcement learning learns, a float scalar."""


S = TypeVar("S", bound=AgentState)
Update = Callable[[S, Batch, Noise, Any], tuple[S, Metrics]]
"""(state, batch, noise, hparams) → (the next state, metrics), a pure function."""


@dataclass(frozen=True)
class AgentPolicy(Generic[S]):
    """One of the policies of an agent."""

    act: Callable[[S, Tensor, Noise, bool], Tensor]
    """(state, observations (B, obs_dim), noise, deterministic) → actions, (B,) indices or (B, d) in [−1, 1].

    A deterministic policy gets no noise, but for what another policy proposes: `proposals` (B, K, d), where the agent
    needs them.
    """
    noise: Callable[[int, torch.Generator], Noise]
    """The random numbers of one `act` at so many observations; where actions are continuous, those that `exploration`
    may correlate in time are standard normal, (B, d), and called "action".
    """
    value: Callable[[S, Tensor, Tensor], Tensor] | None = None
    """What the agent expects of actions, as a discounted return: (state, obs, action) → (B,)."""
    ranking: Callable[[S, Tensor, Noise], WeightedActions] | None = None
    """The actions of which the deterministic policy takes the one with the highest `log_weight`, where it chooses."""
    parameters: Callable[[S], Params] | None = None
    """Those of its network, where that is what `rql.agents.networks.build_policy` makes, on normalised observations:
    then its density is known.
    """


@dataclass(frozen=True)
class Diagnosis(Generic[S]):
    """What is measured on a fresh batch before metrics are recorded."""

    measure: Callable[[S, Batch, Noise], Metrics]
    noise: Callable[[int, torch.Generator], Noise]
    """The random numbers of one `measure` on a batch of so many transitions."""


def unchanged(state: S) -> S:
    """The state as it is."""
    return state


def normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Standard normal numbers of a shape."""
    return torch.randn(shape, generator=generator, device=generator.device)


def uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Uniform numbers in [0, 1) of a shape."""
    return torch.rand(shape, generator=generator, device=generator.device)


def action_noise(spec: ActionSpec, count: int, generator: torch.Generator, further: int = 0) -> Noise:
    """The random numbers, under "action", with which a distribution samples an action at each of `count` observations.

    Uniform and (count, number of actions) where actions are discrete, else standard normal and (count, width), with so
    many `further` ones as it takes.
    """
    if isinstance(spec, DiscreteSpec):
        return {"action": uniform((count, spec.count), generator)}
    return {"action": normal((count, spec.width + further), generator)}


def scalars(device: torch.device, *values: float) -> tuple[Tensor, ...]:
    """Numbers as float32 scalars on a device."""
    return tuple(torch.tensor(value, dtype=torch.float32, device=device) for value in values)


def no_noise(batch: int, hparams: Any, generator: torch.Generator) -> Noise:
    """No random numbers."""
    return {}


@dataclass(frozen=True)
class TrainingStage(Generic[S]):
    """A stage of the training of an agent, as `rql.training` goes through it."""

    info: StageInfo
    cycle: tuple[Update[S], ...]
    """The updates, taken in turn: two of them where an actor learns at every second update, say."""
    noise: Callable[[int, Any, torch.Generator], Noise] = no_noise
    """The random numbers of one update: (batch size, hparams, generator) → noise."""
    enter: Callable[[S], S] = unchanged
    """What happens to the state before the stage, also where it has no updates."""
    diagnosis: Diagnosis[S] | None = None
    warmup_policy: str | None = None
    """The policy that acts in an online stage as long as nothing was learned; None is the policy of the stage."""
    n_step: int | None = None
    """Steps of the transitions that it learns from, as `rql.data.batch.Draw` has them; None is `Config.n_step`."""


class Agent(Protocol[S]):
    """Networks and choices, fixed for a run; everything that changes is in a state."""

    needs: frozenset[str]
    """Columns of a batch beside those that every batch has; see `rql.data.batch`."""

    @property
    def stages(self) -> Sequence[TrainingStage[S]]:
        """The stages of its training, those of `AgentConfig.stages`."""

    @property
    def policies(self) -> Mapping[str, AgentPolicy[S]]:
        """Its policies, by the names of `AgentConfig.policies`."""

    def init(self, statistics: Statistics) -> S:
        """The state before any update."""

    def hparams(self, stage: str, step: int) -> Any:
        """The hyper-parameters at a step of a stage, online an environment step after the warm-up.

        They are a named tuple of scalars on the device, None where one is off.
        """

    def scheduled(self, state: S, hparams: Any) -> S:
        """The state with what a schedule sets in it, before the agent acts."""
