"""Episodes as a source has them."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces as gym_spaces
from gymnasium.envs.registration import EnvSpec
from numpy.typing import NDArray

from rql.data.transitions import Reference

Array = NDArray[Any]


class Episode(NamedTuple):
    """One episode of T steps as its environment saw it."""

    observations: Any
    """(T, ...), in dictionaries and tuples where the space is one."""
    actions: Array
    """(T, ...)."""
    rewards: Array
    next_observations: Any
    """(T, ...)."""
    terminated: Array
    truncated: Array
    extra: Mapping[str, Array] = {}
    """Further columns by name, (T, ...) each."""
    success: Array | None = None
    """(T,): whether each step succeeded, where the source says so."""


def until_done(
    observations: Array, actions: Array, rewards: Array, done: Array, recorded: Array | None, success: Array | None
) -> Episode:
    """An episode that ends at its first `done`, (T,), or is cut off where none is set.

    Args:
        observations: (T, width).
        actions: (T, …).
        rewards: (T,).
        done: (T,).
        recorded: the observations that the steps led to, (T, width); without them, what follows the last step is
            unknown: where that step is done its own observation stands in, elsewhere the step is left out.
        success: (T,), where the source says which steps succeeded.
    """
    ends = np.flatnonzero(done)
    steps = int(ends[0]) + 1 if len(ends) else len(done)
    if recorded is not None:
        following = recorded[:steps]
    elif len(ends):
        following = np.append(observations[1:steps], observations[steps - 1 : steps], axis=0)
    else:
        following, steps = observations[1:steps], steps - 1
    cut = np.zeros(steps, np.bool_)
    cut[-1:] = not len(ends)
    succeeded = None if success is None else success[:steps]
    parts = observations[:steps], actions[:steps], rewards[:steps], following, done[:steps]
    return Episode(*parts, cut, success=succeeded)


SpacePair = tuple[gym_spaces.Space[Any], gym_spaces.Space[Any]]
"""(observation space, action space)."""


class Source(ABC):
    """A data set where it lies."""

    name: str
    """As the user calls it."""
    label: str
    """Name and place, for messages."""
    files: list[Path]
    """What its content depends on."""
    flags: tuple[str, str]
    """How it calls terminated and truncated."""
    spaces: SpacePair | None = None
    """Where it knows them."""
    env_spec: EnvSpec | None = None
    """The environment that it was made in, where it knows it."""
    reference: Reference | None = None

    @abstractmethod
    def episodes(self) -> Iterator[Episode]:
        """Its episodes, one at a time.

        Raises:
            DataError: if they cannot be read.
        """
