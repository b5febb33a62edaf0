"""A data set on the device of a run."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rql.data.batch import Draw, RewardTransform
from rql.data.columns import OBS, REWARD, TERMINATED, TRUNCATED, Column, Field, steps_left
from rql.data.returns import returns_to_go
from rql.data.rows import FLOAT32, Array, Rows, as_numpy, as_tensor, on_device, row_bytes, take, within
from rql.data.sampling import EpisodeSampler, uniform_numbers
from rql.data.transitions import Transitions, seen
from rql.utils.memory import require_memory

CHUNK = 100_000
"""Rows that are looked at together."""
ENTRY_BYTES = 52
"""What a transition takes beside its columns: entries of two lengths, where it lies in its episode, and its return."""


class Dataset(EpisodeSampler):
    """A data set that batches are drawn from: uniformly, or by the weights of its parts and uniformly within a part."""

    def __init__(self, data: Transitions, device: torch.device) -> None:
        """Raises:
        ConfigError: if it does not fit into memory.
        """
        columns = {name: column for name, column in data.columns.items() if name != TRUNCATED}
        cast = {name: columns[name].astype(np.float32) for name in (REWARD, TERMINATED)}
        self.fields = data.fields
        fields = {name: self.fields[name] for name in columns} | {name: Field((), FLOAT32) for name in cast}
        size, what = len(columns[OBS]), f"data set {data.name} of {len(data):,} transitions"
        require_memory("device", device, what, size * row_bytes(fields) + ENTRY_BYTES * len(data), device)
        self.rows = Rows(fields, size, device, {**columns, **cast})
        self._transitions = data.rows
        self._left = steps_left(data.columns[TERMINATED] | data.columns[TRUNCATED], data.lengths)
        self._left_on_device = on_device(self._left, device)
        self._entries: dict[int, Array] = {}
        self._to_go: dict[tuple[float, RewardTransform], Array] = {}
        self._low, self._high = (torch.from_numpy(bound).to(device) for bound in _range(data))
        self._parts = _Parts.of(data, device) if len(data.weights) > 1 else None

    def __len__(self) -> int:
        return len(self._transitions)

    def outside_range(self, obs: Tensor) -> Tensor:
        """The share of observations (n, obs_dim) with a component that no observation of this set reaches."""
        return ((obs < self._low) | (obs > self._high)).any(1).float().mean()

    def entries(self, count: int, rng: torch.Generator, n_step: int) -> Array:
        """(count, 2): entries of transitions, drawn with replacement."""
        if n_step not in self._entries:
            self._entries[n_step] = self._all_entries(n_step)
        if self._parts is None:
            return take(self._entries[n_step], uniform_numbers(len(self), count, rng))
        drawn = self._parts.draw(count, rng)
        return take(self._entries[n_step], drawn.numpy() if rng.device.type == "cpu" else drawn)

    def later(self, rows: Array, steps: Array) -> Array:
        """The rows so many steps later."""
        return within(rows + steps, self.rows.count)

    def known(self, rows: Array) -> Array:
        """Steps from each row to the end of its episode."""
        return take(self._left_on_device, rows)

    def steps_between(self, first: Array, last: Array) -> Array:
        """The steps from rows to later ones."""
        return last - first

    def returns_to_go(self, rows: Array, draw: Draw) -> Tensor:
        """(n,) float32: Σ γ^i r_i up to the end of each episode; all of them are computed at the first draw."""
        key = draw.discount, draw.reward
        if key not in self._to_go:
            paid = draw.reward(as_numpy(self.rows.columns[REWARD]))
            self._to_go = {key: on_device(returns_to_go(paid, self._left, draw.discount), self.rows.device)}
        return as_tensor(take(self._to_go[key], rows))

    def _all_entries(self, n_step: int) -> Array:
        steps = np.minimum(self._left[self._transitions], n_step)
        return on_device(np.stack([self._transitions, self._transitions + steps], axis=1), self.rows.device)


class _Parts(NamedTuple):
    """P parts that lie one after the other."""

    first: Tensor
    """(P,): the first transition of each."""
    length: Tensor
    """(P,) float64."""
    cumulative: Tensor
    """(P,) float64: the share of draws from a part and all before it."""

    @classmethod
    def of(cls, data: Transitions, device: torch.device) -> "_Parts":
        steps = np.bincount(data.part, weights=data.lengths, minlength=len(data.weights))
        share = np.where(steps > 0, data.weights, 0.0).cumsum()
        first = np.concatenate([[0], steps.cumsum()[:-1]]).astype(np.int64)
        return cls(*(torch.from_numpy(array).to(device) for array in (first, steps, share / share[-1])))

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """(count,) numbers of transitions."""
        part, place = torch.rand((2, count), generator=generator, device=generator.device, dtype=torch.float64)
        chosen = torch.searchsorted(self.cumulative, part, right=True)
        index: Tensor = self.first[chosen] + (place * self.length[chosen]).long()
        return index


def _range(data: Transitions) -> tuple[Column, Column]:
    """The least and the greatest of each number in the observations, without those that nothing was done at."""
    column, rows = data.columns[OBS], data.rows
    chunks = (seen(column[rows[start : start + CHUNK]]) for start in range(0, len(rows), CHUNK))
    lows, highs = zip(*((chunk.min(axis=0), chunk.max(axis=0)) for chunk in chunks), strict=True)
    return np.min(lows, axis=0), np.max(highs, axis=0)
