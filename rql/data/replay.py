"""Transitions packed one to a row, so that drawing a batch is a single gather."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rql.data.batch import Batch
from rql.data.transitions import Transitions
from rql.envs.spaces import DiscreteSpec, Spaces


class RowLayout:
    """Where obs, action, reward, next_obs and terminated stand in a row of float32."""

    def __init__(self, view: Spaces) -> None:
        self.widths = [view.obs_dim, view.action.width, 1, view.obs_dim, 1]
        self.discrete = isinstance(view.action, DiscreteSpec)

    @property
    def width(self) -> int:
        """Numbers in a row."""
        return sum(self.widths)

    def pack(
        self,
        obs: NDArray[np.float32],
        action: NDArray[np.int64] | NDArray[np.float32],
        reward: NDArray[np.float32],
        next_obs: NDArray[np.float32],
        terminated: NDArray[np.bool_],
    ) -> Tensor:
        """n transitions → (n, width)."""
        parts = [obs, action, reward, next_obs, terminated]
        columns = [np.asarray(part, dtype=np.float32).reshape(len(obs), -1) for part in parts]
        return torch.from_numpy(np.concatenate(columns, axis=1))

    def unpack(self, rows: Tensor) -> Batch:
        """(n, width) → a batch of n transitions."""
        obs, action, reward, next_obs, terminated = torch.split(rows, self.widths, dim=1)
        if self.discrete:
            action = action.squeeze(1).long()
        return Batch(obs, action, reward.squeeze(1), next_obs, terminated.squeeze(1))


class PackedDataset:
    """A data set that batches are drawn from, uniformly and with replacement."""

    def __init__(self, data: Transitions, layout: RowLayout, device: torch.device) -> None:
        self.layout = layout
        rows = layout.pack(data.obs, data.action, data.reward, data.next_obs, data.terminated)
        self.rows = rows.to(device)

        obs = self.layout.unpack(self.rows).obs
        self._low, self._high = obs.amin(0), obs.amax(0)

    def outside_range(self, obs: Tensor) -> Tensor:
        """The share of observations (n, obs_dim) with a component that no observation of this set reaches."""
        return ((obs < self._low) | (obs > self._high)).any(1).float().mean()

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """(count, width) rows."""
        return _draw(self.rows, len(self.rows), count, generator)

    def sample(self, count: int, generator: torch.Generator) -> Batch:
        """A batch of `count` transitions."""
        return self.layout.unpack(self.draw(count, generator))


class ReplayBuffer:
    """A ring of the newest `capacity` online transitions, and batches that mix them with offline ones."""

    def __init__(self, capacity: int, offline: PackedDataset) -> None:
        self.offline = offline
        self.rows = offline.rows.new_zeros((capacity, offline.layout.width))
        self.size = 0
        self._next = 0

    def append(self, rows: Tensor) -> None:
        """Store rows (n, width), n ≤ capacity, over the oldest ones."""
        count, capacity = len(rows), len(self.rows)
        first = min(count, capacity - self._next)
        self.rows[self._next : self._next + first] = rows[:first]
        self.rows[: count - first] = rows[first:]
        self._next = (self._next + count) % capacity
        self.size = min(self.size + count, capacity)

    def sample(self, count: int, offline_fraction: float, generator: torch.Generator) -> Batch:
        """A batch of `count` transitions, of which round(count · offline_fraction) come from D_offline."""
        from_offline = round(count * offline_fraction)
        drawn = [self.offline.draw(from_offline, generator)] if from_offline else []
        if from_offline < count:
            drawn.append(_draw(self.rows, self.size, count - from_offline, generator))
        return self.offline.layout.unpack(torch.cat(drawn))


def _draw(rows: Tensor, size: int, count: int, generator: torch.Generator) -> Tensor:
    index = torch.randint(size, (count,), generator=generator, device=rows.device)
    return rows.index_select(0, index)
