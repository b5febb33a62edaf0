"""A data set as columns with episode boundaries, and what can be done to it."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rql.config.data import SubsetConfig
from rql.data.columns import (
    ACTION,
    NEXT_OBS,
    OBS,
    PROPOSALS,
    REWARD,
    TERMINATED,
    TRUNCATED,
    Column,
    Columns,
    Field,
    fields_of,
    first_rows,
    step_rows,
)
from rql.utils.errors import DataError


@dataclass(frozen=True)
class Reference:
    """The returns that a normalised score of 0 and of 100 stand for."""

    low: float
    high: float

    def score(self, value: float) -> float:
        """D4RL's normalised score (Fu et al. 2020, section 4), times 100."""
        return 100.0 * (value - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Transitions:
    """T transitions of E episodes, one after the other, from one data set or several parts."""

    name: str
    columns: Columns
    """With a row for each observation, (T + E, …); see `rql.data.columns`."""
    lengths: NDArray[np.int64]
    """(E,): steps of each episode."""
    reference: Reference | None = None
    part: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """(E,): which part an episode belongs to, in ascending order; empty where there is one part."""
    weights: tuple[float, ...] = (1.0,)
    """How often a batch draws from each part, relative to the others."""

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """(T,): the row of each transition."""
        return step_rows(self.lengths)

    @property
    def fields(self) -> Mapping[str, Field]:
        """What its columns hold."""
        return fields_of(self.columns)

    @property
    def checksum(self) -> int:
        """CRC-32 of the transitions, whatever is proposed beside them."""
        value = zlib.crc32(self.lengths.tobytes())
        for column in (column for name, column in self.columns.items() if not name.endswith(PROPOSALS)):
            value = zlib.crc32(np.ascontiguousarray(column).view(np.uint8).data, value)
        return value

    @property
    def starts(self) -> NDArray[np.int64]:
        """(E,): the first transition of each episode."""
        return self.ends - self.lengths

    @property
    def ends(self) -> NDArray[np.int64]:
        """(E,): one past the last transition of each episode."""
        return np.cumsum(self.lengths)

    @property
    def obs(self) -> NDArray[np.float32]:
        """(T, obs_dim), as the agent sees them."""
        return seen(self.columns[OBS][self.rows])

    @property
    def action(self) -> Column:
        """(T,) int64 indices, or (T, d) float32 in [−1, 1]."""
        return self.columns[ACTION][self.rows]

    @property
    def reward(self) -> NDArray[np.float32]:
        """(T,)."""
        return self.columns[REWARD][self.rows].astype(np.float32)

    @property
    def next_obs(self) -> NDArray[np.float32]:
        """(T, obs_dim), as the agent sees them."""
        return seen(self.columns.get(NEXT_OBS, self.columns[OBS])[self.rows + 1])

    @property
    def terminated(self) -> NDArray[np.bool_]:
        """(T,)."""
        return self.columns[TERMINATED][self.rows + 1]

    @property
    def truncated(self) -> NDArray[np.bool_]:
        """(T,)."""
        return self.columns[TRUNCATED][self.rows + 1]

    def returns(self) -> NDArray[np.float64]:
        """The undiscounted return of each episode, (E,)."""
        total: NDArray[np.float64] = np.add.reduceat(self.reward.astype(np.float64), self.starts)
        return total

    def select(self, episodes: NDArray[np.int64]) -> "Transitions":
        """The episodes with these indices, in ascending order."""
        first = first_rows(self.lengths)
        rows = np.concatenate([np.arange(first[i], first[i] + self.lengths[i] + 1) for i in episodes])
        return replace(
            self,
            columns={name: column[rows] for name, column in self.columns.items()},
            lengths=self.lengths[episodes],
            part=self.part[episodes] if len(self.part) else self.part,
        )


def seen(obs: Column) -> NDArray[np.float32]:
    """Stored observations (n, …) as the agent sees them, (n, obs_dim)."""
    return obs.reshape(len(obs), -1).astype(np.float32, copy=False)


def subset(data: Transitions, keep: SubsetConfig) -> Transitions:
    """The episodes that pass the filters; the data set itself where there are none.

    Raises:
        DataError: if no episode is left.
    """
    kept = np.arange(len(data.lengths))
    if keep.top_fraction < 1.0:
        count = max(1, int(np.ceil(keep.top_fraction * len(kept) - 1e-9)))
        kept = np.sort(np.argsort(-data.returns(), kind="stable")[:count])
    if keep.min_return is not None:
        returns = data.returns()
        kept = kept[returns[kept] >= keep.min_return]
        if not len(kept):
            raise DataError(f"data set {data.name}: no episode reaches {keep.min_return}, the best {returns.max():.6g}")
    draws = np.random.default_rng(keep.seed)
    if keep.episodes is not None and keep.episodes < len(kept):
        kept = np.sort(draws.choice(kept, keep.episodes, replace=False))
    if keep.transitions is not None:
        order = draws.permutation(kept)
        held = np.cumsum(data.lengths[order])
        kept = np.sort(order[: int(np.searchsorted(held, keep.transitions)) + 1])
    return data if len(kept) == len(data.lengths) else data.select(kept)


def mix(sets: list[Transitions], weights: list[float]) -> Transitions:
    """Several data sets as one whose batches draw from each by its weight; it has the columns that all of them have."""
    if len(sets) == 1:
        return sets[0]
    columns = [dict(one.columns) for one in sets]
    if any(NEXT_OBS in one for one in columns):
        columns = [{NEXT_OBS: one[OBS]} | one for one in columns]
    first = columns[0]
    shared = [name for name in first if all(name in one for one in columns)]
    return Transitions(
        " + ".join(one.name for one in sets),
        {name: _joined([one[name] for one in columns]) for name in shared},
        np.concatenate([one.lengths for one in sets]),
        sets[0].reference,
        np.concatenate([np.full(len(one.lengths), index) for index, one in enumerate(sets)]),
        tuple(weights),
    )


def _joined(parts: list[Any]) -> Column:
    shape = parts[0].shape[1:]
    return np.concatenate([part.reshape(len(part), *shape) for part in parts])
