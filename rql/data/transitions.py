"""A data set as packed rows with episode boundaries, and what can be done to it."""

import zlib
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rql.config.data import SubsetConfig
from rql.data.rows import RowLayout, Rows
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
    layout: RowLayout
    rows: Rows
    """(T, layout.width)."""
    truncated: NDArray[np.bool_]
    """(T,)."""
    starts: NDArray[np.int64]
    """(E,): where each episode begins."""
    reference: Reference | None = None
    part: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """(E,): which part an episode belongs to, in ascending order; empty where there is one part."""
    weights: tuple[float, ...] = (1.0,)
    """How often a batch draws from each part, relative to the others."""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def checksum(self) -> int:
        """CRC-32 of the transitions."""
        return zlib.crc32(np.ascontiguousarray(self.rows).data, zlib.crc32(self.starts.tobytes()))

    @property
    def obs(self) -> NDArray[np.float32]:
        """(T, obs_dim)."""
        return self.layout.split(self.rows).obs

    @property
    def action(self) -> NDArray[Any]:
        """(T,) int64 indices, or (T, d) float32 in [−1, 1]."""
        action = self.layout.split(self.rows).action
        return action[:, 0].astype(np.int64) if self.layout.discrete else action

    @property
    def reward(self) -> NDArray[np.float32]:
        """(T,)."""
        return self.layout.split(self.rows).reward

    @property
    def next_obs(self) -> NDArray[np.float32]:
        """(T, obs_dim)."""
        return self.layout.split(self.rows).next_obs

    @property
    def terminated(self) -> NDArray[np.bool_]:
        """(T,)."""
        return self.layout.split(self.rows).terminated > 0.0

    @property
    def ends(self) -> NDArray[np.int64]:
        """(E,): one past the last transition of each episode."""
        return np.append(self.starts[1:], len(self))

    def returns(self) -> NDArray[np.float64]:
        """The undiscounted return of each episode, (E,)."""
        total: NDArray[np.float64] = np.add.reduceat(self.reward.astype(np.float64), self.starts)
        return total

    def select(self, episodes: NDArray[np.int64]) -> "Transitions":
        """The episodes with these indices, in ascending order."""
        lengths = self.ends - self.starts
        rows = np.concatenate([np.arange(self.starts[i], self.ends[i]) for i in episodes])
        return replace(
            self,
            rows=self.rows[rows],
            truncated=self.truncated[rows],
            starts=np.concatenate([[0], np.cumsum(lengths[episodes])[:-1]]),
            part=self.part[episodes] if len(self.part) else self.part,
        )


def subset(data: Transitions, keep: SubsetConfig) -> Transitions:
    """The episodes that pass the filters; the data set itself where there are none.

    Raises:
        DataError: if no episode is left.
    """
    kept = np.arange(len(data.starts))
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
        held = np.cumsum((data.ends - data.starts)[order])
        kept = np.sort(order[: int(np.searchsorted(held, keep.transitions)) + 1])
    return data if len(kept) == len(data.starts) else data.select(kept)


def mix(sets: list[Transitions], weights: list[float]) -> Transitions:
    """Several data sets as one whose batches draw from each by its weight."""
    if len(sets) == 1:
        return sets[0]
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in sets])[:-1]])
    return Transitions(
        " + ".join(one.name for one in sets),
        sets[0].layout,
        np.concatenate([one.rows for one in sets]),
        np.concatenate([one.truncated for one in sets]),
        np.concatenate([one.starts + offset for one, offset in zip(sets, offsets, strict=True)]),
        sets[0].reference,
        np.concatenate([np.full(len(one.starts), index) for index, one in enumerate(sets)]),
        tuple(weights),
    )


@dataclass(frozen=True)
class RewardTransform:
    """The reward that Q_R learns from: scale · r + shift."""

    scale: float = 1.0
    shift: float = 0.0

    def __call__(self, reward: NDArray[Any]) -> NDArray[Any]:
        """Of rewards of any shape."""
        transformed: NDArray[Any] = reward * self.scale + self.shift
        return transformed

    def of(self, data: Transitions) -> Transitions:
        """The data set with its rewards transformed."""
        if self == RewardTransform():
            return data
        rows = np.array(data.rows)
        reward = data.layout.split(rows).reward
        reward[:] = self(reward)
        return replace(data, rows=rows)


def n_step(data: Transitions, n: int, discount: float) -> Transitions:
    """Each transition over `n` steps, or fewer where its episode ends: Σ_{i<k} γ^i r_{t+i}, s_{t+k}, and k."""
    if n == 1:
        return data
    reward_of, count = data.reward.astype(np.float64), len(data)
    last = np.arange(count)
    reward = reward_of.copy()
    final = data.terminated | data.truncated
    final[data.ends - 1] = True
    for i in range(1, n):
        goes_on = ~final[last]
        last = last + goes_on
        reward += np.where(goes_on, discount**i * reward_of[last], 0.0)
    rows = np.array(data.rows)
    into = data.layout.split(rows)
    into.reward[:] = reward
    into.next_obs[:] = data.next_obs[last]
    into.terminated[:] = data.terminated[last]
    into.steps[:] = last - np.arange(count) + 1
    return replace(data, rows=rows)
