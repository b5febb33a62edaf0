"""Gathering batches: what a data set and a replay buffer have in common."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rql.data.batch import ACTION_MASK, MC_RETURN, NEXT_ACTION, NEXT_PROPOSALS, TO_END, Batch, Draw, Sampler
from rql.data.columns import ACTION, NEXT_OBS, OBS, PROPOSALS, REWARD, TERMINATED, Field
from rql.data.rows import FLOAT32, FLOAT64, Array, Rows, as_tensor, cast, join, take
from rql.utils.errors import RQLError
from rql.utils.tree import map_leaves

FIRST, LAST = 0, 1
"""Of an entry: the row of a transition, and the row of its next observation."""
INDEX = np.dtype(np.int64)


class Gathered(NamedTuple):
    """B transitions as they lie in memory, before they are a batch."""

    block: Array
    """(B, 2, W): the narrow columns at the transitions, and at the observations that follow."""
    alone: dict[str, Array]
    """(B, …) each: what the batch has of columns outside the block."""
    several: tuple[Array, Array] | tuple[()]
    """Where a transition may have several steps, their rewards' sums and their numbers, (B,) float32 each."""


class EpisodeSampler(ABC):
    """Draws from rows in which the steps of an episode follow each other."""

    rows: Rows
    fields: Mapping[str, Field]

    def sample(self, count: int, rng: torch.Generator, draw: Draw) -> Batch:
        """A batch of `count` transitions, drawn with replacement.

        Raises:
            RQLError: if a column that the draw needs is not there.
        """
        entries = self.entries(count, rng, draw.n_step)
        batch = self.batch_of(self.gather(entries, draw), draw)
        if draw.horizon > 1:
            batch = self._with_actions(batch, entries[:, FIRST], draw.horizon)
        return batch._replace(extra=batch.extra | self._extra(entries, draw)) if draw.needs else batch

    def gather(self, entries: Array, draw: Draw) -> Gathered:
        """The transitions of some entries (B, 2)."""
        pairs = entries.reshape(-1)
        block = take(self.rows.block, pairs).reshape(len(entries), 2, -1)
        several = () if draw.n_step == 1 else self._sums(entries, draw)
        return Gathered(block, self._alone(entries, pairs) if self.rows.alone else {}, several)

    def batch_of(self, gathered: Gathered, draw: Draw) -> Batch:
        """The batch of what this sampler, or one whose rows are laid out alike, gathered."""
        block, alone, several = gathered
        place = self.rows.slices
        obs = block[:, FIRST, place[OBS]] if OBS in place else alone[OBS]
        following = block[:, LAST, place.get(NEXT_OBS, place[OBS])] if NEXT_OBS not in alone else alone[NEXT_OBS]
        action = block[:, FIRST, place[ACTION]] if ACTION in place else alone[ACTION]
        if several:
            reward, steps = map(as_tensor, several)
        else:
            paid = block[:, FIRST, place[REWARD]] if REWARD in place else alone[REWARD]
            reward, steps = as_tensor(cast(draw.reward(paid), FLOAT32)), _ones(len(block), self.rows.device)
        terminated = as_tensor(block[:, LAST, place[TERMINATED]])
        return Batch(as_tensor(obs), as_tensor(action), reward, as_tensor(following), terminated, steps)

    @abstractmethod
    def entries(self, count: int, rng: torch.Generator, n_step: int) -> Array:
        """(count, 2): entries of transitions, drawn with replacement."""

    @abstractmethod
    def later(self, rows: Array, steps: Any) -> Array:
        """The rows so many steps later, wherever they lead where the episode is over by then."""

    @abstractmethod
    def known(self, rows: Array) -> Array:
        """Steps from each row to the end of its episode, or to the newest step."""

    @abstractmethod
    def steps_between(self, first: Array, last: Array) -> Array:
        """The steps from rows to later ones."""

    def returns_to_go(self, rows: Array, draw: Draw) -> Tensor:
        """(n,) float32: Σ γ^i r_i over all steps that are known."""
        known = as_tensor(self.known(rows))
        steps = _arange(int(known.max()), self.rows.device)
        reward = self._rewards(rows[:, None], steps)
        paid = as_tensor(draw.reward(reward)).double()
        discounts = draw.discount ** as_tensor(steps).double()
        return ((paid * (known[:, None] > as_tensor(steps))) @ discounts).float()

    def _alone(self, entries: Array, pairs: Array) -> dict[str, Array]:
        """What a batch has of the columns outside the block."""
        columns, first, found = self.rows.columns, entries[:, FIRST], dict[str, Array]()
        if OBS in self.rows.alone:
            both = cast(take(columns[OBS], pairs).reshape(len(entries), 2, -1), FLOAT32)
            found[OBS], found[NEXT_OBS] = both[:, FIRST], both[:, LAST]
        if NEXT_OBS in self.rows.alone:
            found[NEXT_OBS] = cast(take(columns[NEXT_OBS], entries[:, LAST]).reshape(len(entries), -1), FLOAT32)
        return found | {name: take(columns[name], first) for name in (ACTION, REWARD) if name in self.rows.alone}

    def _sums(self, entries: Array, draw: Draw) -> tuple[Array, Array]:
        """Σ_{i<k} γ^i r_i and k, of transitions of several steps."""
        steps = self.steps_between(entries[:, FIRST], entries[:, LAST])
        if draw.n_step == TO_END:
            total = self.returns_to_go(entries[:, FIRST], draw)
            return total if self.rows.device.type != "cpu" else total.numpy(), cast(steps, FLOAT32)
        ahead, weights = _window(draw.n_step, draw.discount, self.rows.device)
        reward = draw.reward(self._rewards(entries[:, FIRST], ahead))
        total = (cast(reward, FLOAT32) * take(weights, steps, 1)).sum(0)
        return cast(total, FLOAT32), cast(steps, FLOAT32)

    def _rewards(self, rows: Array, ahead: Array) -> Array:
        """The rewards of the rows so many steps later."""
        place, reached = self.rows.slices.get(REWARD), self.later(rows, ahead)
        if place is None:
            return take(self.rows.columns[REWARD], reached)
        width = self.rows.block.shape[1]
        return take(self.rows.block.reshape(-1), reached * width + place)

    def _column(self, name: str, rows: Array) -> Tensor:
        return as_tensor(take(self.rows.columns[name], rows))

    def _extra(self, entries: Array, draw: Draw) -> dict[str, Tensor]:
        first, found = entries[:, FIRST], dict[str, Tensor]()
        for name in sorted(draw.needs):
            if name == MC_RETURN:
                found[name] = self.returns_to_go(first, draw)
            elif name == NEXT_ACTION:
                actions, mask = self._ahead(first, self.steps_between(first, entries[:, LAST])[:, None])
                found[name], found[f"{name}_mask"] = actions[:, 0], mask[:, 0]
            elif name == NEXT_PROPOSALS:
                apart = name in self.rows.columns
                found[name] = self._column(name if apart else PROPOSALS, entries[:, LAST])
            elif name in self.rows.columns:
                found[name] = self._column(name, first)
            else:
                has = ", ".join(self.fields)
                raise RQLError(f"the agent needs the column {name}, which is not there; there are {has}")
        return found

    def _with_actions(self, batch: Batch, first: Array, horizon: int) -> Batch:
        """The batch with the actions of so many steps."""
        actions, mask = self._ahead(first, _arange(horizon, self.rows.device))
        made = mask.reshape(*mask.shape, *[1] * (actions.ndim - 2)).expand_as(actions)
        return batch._replace(action=actions.flatten(1), extra={ACTION_MASK: made.flatten(1)})

    def _ahead(self, rows: Array, steps: Array) -> tuple[Tensor, Tensor]:
        """The actions so many steps later, (B, h, …), and a mask (B, h) of those that are in the same episode."""
        mask = as_tensor(self.known(rows))[:, None] > as_tensor(steps)
        reached = as_tensor(self.later(rows[:, None], steps))
        chosen = torch.where(mask, reached, as_tensor(rows)[:, None])
        flat = chosen.reshape(-1) if self.rows.device.type != "cpu" else chosen.reshape(-1).numpy()
        actions = as_tensor(take(self.rows.columns[ACTION], flat))
        actions = actions.reshape(*chosen.shape, *actions.shape[1:])
        return actions * mask.reshape(*mask.shape, *[1] * (actions.ndim - 2)), mask.float()


@dataclass(frozen=True)
class Mixture:
    """A data set and a replay buffer, of which the data set gives a fixed share of every batch."""

    offline: Sampler | None
    online: Sampler
    offline_fraction: float

    @property
    def fields(self) -> Mapping[str, Field]:
        """The columns that both have."""
        ours = self.online.fields
        return ours if self.offline is None else {name: ours[name] for name in self.offline.fields if name in ours}

    def sample(self, count: int, rng: torch.Generator, draw: Draw) -> Batch:
        """A batch of `count` transitions, of which round(count · offline_fraction) come from the data set."""
        from_offline = round(count * self.offline_fraction) if self.offline is not None else 0
        if not from_offline:
            return self.online.sample(count, rng, draw)
        assert self.offline is not None
        if from_offline == count:
            return self.offline.sample(count, rng, draw)
        if self._alike and not draw.needs and draw.horizon == 1:
            return self._sample_alike(from_offline, count - from_offline, rng, draw)
        parts = self.offline.sample(from_offline, rng, draw), self.online.sample(count - from_offline, rng, draw)
        mixed: Batch = map_leaves(lambda *tensors: torch.cat(tensors), *parts)
        return mixed

    @cached_property
    def _alike(self) -> bool:
        """Whether the rows of both are laid out alike, so that what they gather can be put together first."""
        one, other = self.offline, self.online
        if not isinstance(one, EpisodeSampler) or not isinstance(other, EpisodeSampler):
            return False
        return one.rows.slices == other.rows.slices and one.rows.alone == other.rows.alone

    def _sample_alike(self, from_offline: int, from_online: int, rng: torch.Generator, draw: Draw) -> Batch:
        """The same batch, made at once."""
        one, other = self.offline, self.online
        assert isinstance(one, EpisodeSampler) and isinstance(other, EpisodeSampler)
        offline = one.gather(one.entries(from_offline, rng, draw.n_step), draw)
        online = other.gather(other.entries(from_online, rng, draw.n_step), draw)
        return one.batch_of(map_leaves(join, offline, online), draw)


def _arange(count: int, device: torch.device) -> Array:
    return np.arange(count) if device.type == "cpu" else torch.arange(count, device=device)


@cache
def _window(n: int, discount: float, device: torch.device) -> tuple[Array, Array]:
    """The steps of a transition (n, 1), and the weights of their rewards (n, n + 1) where k of them are made: in column
    k. In float64.
    """
    steps = _arange(n, device)[:, None]
    return steps, discount ** cast(steps, FLOAT64) * (steps < _arange(n + 1, device))


@cache
def _ones(count: int, device: torch.device) -> Tensor:
    return torch.ones(count, device=device)


@cache
def _numbers(count: int) -> tuple[Tensor, Array]:
    """Room for the numbers of one draw on the CPU, as a tensor and as an array."""
    room = torch.empty(count, dtype=torch.int64)
    return room, room.numpy()


def uniform_numbers(below: int, count: int, rng: torch.Generator) -> Array:
    """(count,) numbers in [0, below), which are valid until the next draw of as many."""
    if rng.device.type != "cpu":
        return torch.randint(below, (count,), generator=rng, device=rng.device)
    room, numbers = _numbers(count)
    torch.randint(below, (count,), generator=rng, out=room)
    return numbers
