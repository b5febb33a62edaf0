"""Gathering batches: what a data set and a replay buffer have in common."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rql.data.batch import MC_RETURN, NEXT_ACTION, Batch, Draw, Sampler
from rql.data.columns import ACTION, NEXT_OBS, OBS, REWARD, TERMINATED, Field
from rql.data.rows import FLOAT32, FLOAT64, Array, Rows, as_tensor, cast, take
from rql.utils.errors import RQLError
from rql.utils.tree import map_leaves

FIRST, LAST = 0, 1
"""Of an entry: the row of a transition, and the row of its next observation."""
INDEX = np.dtype(np.int64)


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
        pairs = entries.reshape(-1)
        block = take(self.rows.block, pairs).reshape(count, 2, -1)
        steps = None if draw.n_step == 1 else self.steps_between(entries[:, FIRST], entries[:, LAST])
        obs, next_obs = self._observations(block, pairs)
        return Batch(
            obs,
            self._column(ACTION, block, entries),
            self._reward(block, entries, steps, draw),
            next_obs,
            as_tensor(block[:, LAST, self.rows.slices[TERMINATED]]),
            _ones(count, self.rows.device) if steps is None else as_tensor(cast(steps, FLOAT32)),
            self._extra(entries, block, draw) if draw.needs or draw.horizon > 1 else {},
        )

    @property
    def rewards(self) -> Array:
        """The rewards of all rows, beside each other."""
        return self.rows.columns[REWARD]

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
        reward = take(self.rewards, self.later(rows[:, None], steps))
        paid = as_tensor(draw.reward(reward)).double()
        discounts = draw.discount ** as_tensor(steps).double()
        return ((paid * (known[:, None] > as_tensor(steps))) @ discounts).float()

    def _observations(self, block: Array, pairs: Array) -> tuple[Tensor, Tensor]:
        """Observations and those that follow, as the agent sees them."""
        slices, columns = self.rows.slices, self.rows.columns
        place = slices.get(OBS)
        if place is not None:
            obs, following = as_tensor(block[:, FIRST, place]), as_tensor(block[:, LAST, place])
        else:
            both = as_tensor(take(columns[OBS], pairs)).reshape(len(block), 2, -1).float()
            obs, following = both[:, FIRST], both[:, LAST]
        if NEXT_OBS in slices:
            following = as_tensor(block[:, LAST, slices[NEXT_OBS]])
        elif NEXT_OBS in columns:
            following = as_tensor(take(columns[NEXT_OBS], pairs)).reshape(len(block), 2, -1)[:, LAST].float()
        return obs, following

    def _column(self, name: str, block: Array, entries: Array) -> Tensor:
        place = self.rows.slices.get(name)
        if place is not None:
            return as_tensor(block[:, FIRST, place])
        return as_tensor(take(self.rows.columns[name], entries[:, FIRST]))

    def _reward(self, block: Array, entries: Array, steps: Array | None, draw: Draw) -> Tensor:
        if steps is None:
            reward: Tensor = draw.reward(self._column(REWARD, block, entries))
            return reward if reward.dtype == torch.float32 else reward.float()
        ahead, weights = _window(draw.n_step, draw.discount, self.rows.device)
        reward = draw.reward(take(self.rewards, self.later(entries[:, FIRST], ahead)))
        return as_tensor(cast((cast(reward, FLOAT32) * take(weights, steps, 1)).sum(0), FLOAT32))

    def _extra(self, entries: Array, block: Array, draw: Draw) -> dict[str, Tensor]:
        first, found = entries[:, FIRST], dict[str, Tensor]()
        if draw.horizon > 1:
            found["actions"], found["actions_mask"] = self._ahead(first, _arange(draw.horizon, self.rows.device))
        for name in sorted(draw.needs):
            if name == MC_RETURN:
                found[name] = self.returns_to_go(first, draw)
            elif name == NEXT_ACTION:
                actions, mask = self._ahead(first, self.steps_between(first, entries[:, LAST])[:, None])
                found[name], found[f"{name}_mask"] = actions[:, 0], mask[:, 0]
            elif name in self.rows.columns:
                found[name] = self._column(name, block, entries)
            else:
                has = ", ".join(self.fields)
                raise RQLError(f"the agent needs the column {name}, which is not there; there are {has}")
        return found

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
        offline = self.offline.sample(from_offline, rng, draw)
        if from_offline == count:
            return offline
        online = self.online.sample(count - from_offline, rng, draw)
        mixed: Batch = map_leaves(lambda *parts: torch.cat(parts), offline, online)
        return mixed


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
