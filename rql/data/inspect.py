"""What a data set holds, in figures, and what is wrong with it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from gymnasium import spaces as gym_spaces

from rql.config.data import EnvConfig
from rql.data.convert import Converter, Reading
from rql.data.episodes import Source, SpacePair
from rql.data.sources.d4rl import FlatSource
from rql.data.transitions import Transitions
from rql.envs.make import make_env
from rql.envs.spaces import DiscreteSpec, Spaces, describe
from rql.utils.errors import DataError

BINS = 20
AT_BOUND = 0.999


@dataclass(frozen=True)
class Coverage:
    """How much of the spaces a data set reaches."""

    action_bins: float
    """The share of 20 equal bins (of the actions, where they are discrete) that is visited, mean over dimensions."""
    at_bounds: float
    """The share of action components within 0.05 % of a bound; 0 for discrete actions."""
    constant_observations: int
    """Observation dimensions that never change."""


def spaces_of(source: Source, env_id: str | None) -> Spaces:
    """The spaces to read a data set with: of an environment, its own, or what its numbers suggest.

    Raises:
        RQLError: if there is no such environment or the data set cannot be read.
    """
    if env_id is not None:
        with make_env(EnvConfig(id=env_id)) as env:
            return describe(env_id, env.observation_space, env.action_space, flatten_images=True)
    if source.spaces is not None:
        return describe(source.name, *source.spaces, flatten_images=True)
    assert isinstance(source, FlatSource)
    return describe(source.name, *_suggested(source), flatten_images=True)


def problems(source: Source, reading: Reading) -> Iterator[str]:
    """All that stands against using a data set, a sentence for each episode."""
    converter = Converter(source, reading)
    steps = 0
    try:
        for index, episode in enumerate(source.episodes()):
            steps += len(episode.rewards)
            try:
                converter.convert(index, [episode])
            except DataError as error:
                yield str(error)
    except DataError as error:
        yield str(error)
        return
    if not steps:
        yield f"data set {source.label} holds no transitions"


def coverage(data: Transitions, spaces: Spaces) -> Coverage:
    """Measure it."""
    constant = int((data.obs.min(axis=0) == data.obs.max(axis=0)).sum())
    if isinstance(spaces.action, DiscreteSpec):
        return Coverage(len(np.unique(data.action)) / spaces.action.count, 0.0, constant)
    places = np.clip(((data.action + 1.0) / 2.0 * BINS).astype(np.int64), 0, BINS - 1)
    visited = np.mean([len(np.unique(column)) for column in places.T]) / BINS
    return Coverage(float(visited), float((np.abs(data.action) > AT_BOUND).mean()), constant)


def _suggested(source: FlatSource) -> SpacePair:
    arrays = source.arrays()
    obs, actions = arrays["observations"], arrays["actions"]
    seen = gym_spaces.Box(-np.inf, np.inf, obs.shape[1:])
    if actions.dtype.kind in "iu" and actions.min() >= 0:
        return seen, gym_spaces.Discrete(int(actions.max()) + 1)
    finite = actions[np.isfinite(actions)]
    bound = max(1.0, float(np.abs(finite).max()) if len(finite) else 1.0)
    return seen, gym_spaces.Box(-bound, bound, actions.shape[1:] or (1,))
