"""Drawing batches, from a data set and from what is collected online."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rql.data.batch import Batch
from rql.data.rows import RowLayout
from rql.data.transitions import Transitions
from rql.utils.memory import require_memory


class PackedDataset:
    """A data set on the device of the run, that batches are drawn from with replacement."""

    def __init__(self, data: Transitions, device: torch.device) -> None:
        self.layout = data.layout
        what = f"data set {data.name} of {len(data):,} transitions"
        require_memory("device", device, what, data.rows.nbytes, device)
        self.rows = torch.from_numpy(data.rows).to(device)
        obs = self.rows[:, : self.layout.obs_dim]
        self._low, self._high = obs.amin(0), obs.amax(0)
        self._parts = _Parts.of(data, device) if len(data.weights) > 1 else None

    def outside_range(self, obs: Tensor) -> Tensor:
        """The share of observations (n, obs_dim) with a component that no observation of this set reaches."""
        return ((obs < self._low) | (obs > self._high)).any(1).float().mean()

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """(count, width) rows: uniformly, or by the weights of the parts and uniformly within a part."""
        if self._parts is None:
            return _draw(self.rows, len(self.rows), count, generator)
        return self.rows.index_select(0, self._parts.draw(count, generator))

    def sample(self, count: int, generator: torch.Generator) -> Batch:
        """A batch of `count` transitions."""
        return self.layout.unpack(self.draw(count, generator))


class _Parts(NamedTuple):
    """P parts that lie one after the other."""

    first: Tensor
    """(P,): the first row of each."""
    length: Tensor
    """(P,) float64."""
    cumulative: Tensor
    """(P,) float64: the share of draws from a part and all before it."""

    @classmethod
    def of(cls, data: Transitions, device: torch.device) -> "_Parts":
        steps = np.bincount(data.part, weights=data.ends - data.starts, minlength=len(data.weights))
        share = np.where(steps > 0, data.weights, 0.0).cumsum()
        first = np.concatenate([[0], steps.cumsum()[:-1]]).astype(np.int64)
        return cls(*(torch.from_numpy(array).to(device) for array in (first, steps, share / share[-1])))

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """(count,) row numbers."""
        part, place = torch.rand((2, count), generator=generator, device=generator.device, dtype=torch.float64)
        chosen = torch.searchsorted(self.cumulative, part, right=True)
        index: Tensor = self.first[chosen] + (place * self.length[chosen]).long()
        return index


class ReplayBuffer:
    """A ring of the newest `capacity` online transitions, and batches that mix them with offline ones."""

    def __init__(self, capacity: int, layout: RowLayout, device: torch.device, offline: PackedDataset | None) -> None:
        self.layout, self.offline = layout, offline
        self.rows = _allocated(capacity, layout.width, device)
        self.appended = 0
        """Transitions since the run began; number i is in row i modulo the capacity until another takes its place."""

    @property
    def size(self) -> int:
        """Transitions that are there."""
        return min(self.appended, len(self.rows))

    def append(self, rows: Tensor) -> None:
        """Store rows (n, width), n ≤ capacity, over the oldest ones."""
        count, start = len(rows), self.appended % len(self.rows)
        first = min(count, len(self.rows) - start)
        self.rows[start : start + first] = rows[:first]
        self.rows[: count - first] = rows[first:]
        self.appended += count

    def sample(self, count: int, offline_fraction: float, generator: torch.Generator) -> Batch:
        """A batch of `count` transitions, of which round(count · offline_fraction) come from D_offline."""
        from_offline = round(count * offline_fraction) if self.offline else 0
        if not from_offline:
            return self.layout.unpack(_draw(self.rows, self.size, count, generator))
        assert self.offline is not None
        drawn = [self.offline.draw(from_offline, generator)]
        if from_offline < count:
            drawn.append(_draw(self.rows, self.size, count - from_offline, generator))
        return self.layout.unpack(torch.cat(drawn))

    def since(self, appended: int) -> Tensor:
        """The rows (n, width), oldest first, that came after the first `appended` ones, as far as they are kept."""
        numbers = torch.arange(max(appended, self.appended - len(self.rows)), self.appended, device=self.rows.device)
        return self.rows[numbers % len(self.rows)]

    def restore(self, rows: Tensor, appended: int) -> None:
        """Hold the newest rows (n, width) of `appended`, as they were."""
        self.appended = appended - len(rows)
        self.append(rows)


def _allocated(capacity: int, width: int, device: torch.device) -> Tensor:
    what = f"the replay buffer of {capacity:,} transitions"
    require_memory("replay.capacity", capacity, what, 4 * capacity * width, device)
    return torch.zeros((capacity, width), device=device)


def _draw(rows: Tensor, size: int, count: int, generator: torch.Generator) -> Tensor:
    index = torch.randint(size, (count,), generator=generator, device=rows.device)
    return rows.index_select(0, index)
