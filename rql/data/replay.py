"""The replay buffer: what parallel environments brought, with each observation stored once."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rql.data.columns import OBS, OF_STATES, TERMINATED, Column, Columns, Field
from rql.data.rows import FLOAT32, Array, Rows, as_numpy, on_device, put, row_bytes, take, within, zeros
from rql.data.sampling import FIRST, INDEX, EpisodeSampler, uniform_numbers
from rql.data.transitions import seen
from rql.utils.memory import require_memory

ENDLESS = 1 << 30
"""Steps that an episode has left while it goes on."""
SPARE = 64
"""One row in so many is kept for the last observations of episodes; where they are shorter, the buffer grows."""
BEGINS, LAST_ROW = "begins", "last_"
"""Of the steps on disk: where episodes begin, and the prefix of the columns of `OF_STATES` in last rows."""

Numbers = NDArray[np.int64]


class EnvStep(NamedTuple):
    """One step of N environments."""

    columns: Columns
    """(N, …) each, with the observation that the step was made at."""
    following: Columns
    """(N, …) each: those of `OF_STATES` that it led to, where an episode ended those of its own last observation."""
    ended: np.ndarray[Any, np.dtype[np.bool_]]
    """(N,): whether an episode ended, for good or by a time limit."""


class ReplayBuffer(EpisodeSampler):
    """The newest `capacity` transitions of N environments.

    Transition number i of the run is a step of environment i mod N. The rows of an environment follow each other in a
    lane of their own, row numbers N apart, with one row more where an episode ends. A transition can be drawn once all
    its steps are made: with several, the last ones of a running episode wait for those that follow.
    """

    def __init__(
        self, fields: Mapping[str, Field], capacity: int, num_envs: int, n_step: int, device: torch.device
    ) -> None:
        """Make room.

        Args:
            fields: the columns.
            capacity: the most transitions that can be drawn from.
            num_envs: N.
            n_step: the steps of a draw.
            device: where the rows are.

        Raises:
            ConfigError: if they do not fit into memory.
        """
        self.fields, self.capacity, self.num_envs, self.n_step = fields, capacity, num_envs, n_step
        self._device, self._of_states = device, [name for name in OF_STATES if name in fields]
        self._kept = num_envs * (-(-capacity // num_envs) + n_step - 1)
        slots = self._kept // num_envs
        self._allocate(slots + slots // SPARE + 2)
        self._table = zeros((self._kept, 2), INDEX, device)
        """The entry of transition i in row i modulo its length."""
        self.appended = 0
        """Transitions since the run began."""
        self._head = self._first_head()
        """(N,): the row of the newest observation of each environment."""
        self._running = np.zeros(num_envs, np.bool_)
        """(N,): whether an episode goes on in each environment."""
        self._run = np.zeros(num_envs, np.int64)
        """(N,): steps of the running episodes, or of the last ones."""
        self.whole = 0
        """Transitions since the run began, up to the first one that cannot be drawn yet."""

    @property
    def size(self) -> int:
        """Transitions that can be drawn."""
        return min(self.whole, self.capacity)

    @property
    def kept(self) -> int:
        """Transitions that are there, also those that cannot be drawn yet or any more."""
        return min(self.appended, self._kept)

    def append(self, step: EnvStep) -> None:
        """Store one step of each environment, over the oldest ones."""
        fresh = ~self._running
        if self._is_full(fresh):
            self._grow()
        envs = np.arange(self.num_envs)
        rows = np.where(fresh, self._after(self._head, 1), self._head)
        following = self._after(rows, 1)
        for name, values in step.columns.items():
            self.rows.write(name, following if name == TERMINATED else rows, values)
        for name, values in step.following.items():
            self.rows.write(name, following, values)
        put(self._left, rows, ENDLESS)
        self._run = np.where(fresh, 1, self._run + 1)
        for back in range(min(self.n_step, int(self._run.max()))):
            reaching = envs[self._run > back]
            numbers = (self.appended + reaching - back * self.num_envs) % self._kept
            first = rows if not back else self._after(rows, -back)
            entries = np.stack([first[reaching], following[reaching]], axis=1)
            put(self._table, numbers, entries)
        self._head, self._running = following, np.ones(self.num_envs, np.bool_)
        self.appended += self.num_envs
        self._end(step.ended)

    def cut(self) -> None:
        """End the running episodes where they are, as a time limit would: the environments begin anew."""
        self._end(self._running)

    def observations(self, first: int, last: int) -> Tensor:
        """(n, obs_dim): those of the transitions from number `first` on and before `last`, as the agent sees them."""
        rows = self._rows_of(np.arange(max(first, self.appended - self._kept), last))
        found = as_numpy(take(self.rows.columns[OBS], on_device(rows, self._device)))
        return torch.from_numpy(seen(found)).to(self._device)

    def entries(self, count: int, rng: torch.Generator, n_step: int) -> Array:
        """(count, 2): entries of transitions, drawn with replacement."""
        assert n_step == self.n_step
        whole = self.whole
        drawn = uniform_numbers(min(whole, self.capacity), count, rng)
        if whole > self.capacity and self._kept != self.capacity:
            # number i has its place in a ring of the capacity, though those that wait are kept beside it
            first = whole - self.capacity
            drawn = ((drawn - first) % self.capacity + first) % self._kept
        return take(self._table, drawn)

    def later(self, rows: Array, steps: Any) -> Array:
        """The rows so many steps later, around the end of the lanes."""
        return within(rows + self.num_envs * steps, self.rows.count)

    def steps_between(self, first: Array, last: Array) -> Array:
        """The steps from rows to later ones of the same episode, around the end of the lanes."""
        rows = last - first
        rows += (rows < 0) * self.rows.count
        return rows if self.num_envs == 1 else rows // self.num_envs

    def known(self, rows: Array) -> Array:
        """Steps from each row to the end of its episode, or to the newest step."""
        head = take(on_device(self._head, self._device), rows % self.num_envs)
        newest = (head - rows) % self.rows.count // self.num_envs
        left = take(self._left, rows)
        return np.minimum(left, newest) if isinstance(left, np.ndarray) else torch.minimum(left, newest)

    def since(self, appended: int) -> dict[str, Column]:
        """The steps, oldest first, that came after the first `appended` transitions, as far as they are kept.

        Beside the columns (n, …), `begins` (n,) says where an episode begins, and for each of these `last_obs` holds
        the last observation of the episode before, in the same environment; `last_proposals` what was proposed there.
        """
        numbers = np.arange(max(appended, self.appended - self._kept, 0), self.appended)
        rows = self._rows_of(numbers)
        before = np.where(numbers >= max(self.num_envs, self.appended - self._kept + self.num_envs), numbers, -1)
        reached = self._after(self._rows_of(np.maximum(before - self.num_envs, 0)), 1)
        begins = (before < 0) | (reached != rows)
        found = {name: self._read(name, self._after(rows, 1) if name == TERMINATED else rows) for name in self.fields}
        for name in self._of_states:
            last = self._read(name, reached[begins])
            last[before[begins] < 0] = 0
            found[f"{LAST_ROW}{name}"] = last
        return {**found, BEGINS: begins}

    def saved_state(self) -> dict[str, Any]:
        """What `restore` needs beside the steps."""
        newest = {name: self._read(name, self._head) for name in self._of_states}
        return {"appended": self.appended, "running": self._running, "newest": newest}

    def restore(self, steps: Mapping[str, Column], saved: dict[str, Any]) -> None:
        """Hold the newest steps, as `since` gave them, and go on from `saved_state`."""
        count = len(steps[BEGINS])
        self.appended, self._run = saved["appended"] - count, np.zeros(self.num_envs, np.int64)
        parts = dict(steps)
        for name in (f"{LAST_ROW}{name}" for name in self._of_states):
            parts[name] = np.zeros((count, *steps[name].shape[1:]), steps[name].dtype)
            parts[name][steps[BEGINS]] = steps[name]
        needed = max((1 + int(steps[BEGINS][env :: self.num_envs].sum()) for env in range(self.num_envs)), default=0)
        if self._slots < count // self.num_envs + needed + 2:
            self._allocate(count // self.num_envs + needed + 2)
        self._head = self._first_head()
        for env in range(self.num_envs if count else 0):
            lane = {name: part[env :: self.num_envs] for name, part in parts.items()}
            newest = {name: column[env] for name, column in saved["newest"].items()}
            self._restore_lane(env, lane, newest, bool(saved["running"][env]))
        self.appended = saved["appended"]
        self._running = np.array(saved["running"])
        self._count_whole()

    def _restore_lane(self, env: int, steps: Columns, newest: Columns, running: bool) -> None:
        """The steps (n, …) of one environment; `newest` is what they led to."""
        begins = np.array(steps[BEGINS])
        begins[0] = False
        slots = np.arange(len(begins)) + np.cumsum(begins)
        rows, following = slots * self.num_envs + env, (slots + 1) * self.num_envs + env
        for name in self.fields:
            self.rows.write(name, following if name == TERMINATED else rows, steps[name])
        for name in self._of_states:
            self.rows.write(name, rows[begins] - self.num_envs, steps[f"{LAST_ROW}{name}"][begins])
            self.rows.write(name, following[-1:], newest[name][None])
        ends = np.append(np.flatnonzero(np.append(begins[1:], not running)), len(begins) - 1 + ENDLESS)
        index = np.arange(len(begins))
        left = ends[np.searchsorted(ends, index)] - index + 1
        put(self._left, rows, left)
        taken = np.minimum(np.minimum(left, self.n_step), len(begins) - index)
        numbers = (self.appended + env + index * self.num_envs) % self._kept
        entries = np.stack([rows, rows + taken * self.num_envs], axis=1)
        put(self._table, numbers, entries)
        self._head[env] = following[-1]
        self._run[env] = len(begins) - np.flatnonzero(np.append(True, begins[1:]))[-1]

    def _first_head(self) -> Numbers:
        """The rows before the first ones."""
        return np.arange(self.num_envs) - self.num_envs + self.rows.count

    def _allocate(self, slots: int) -> None:
        self._slots, count = slots, slots * self.num_envs
        fields = {**self.fields, TERMINATED: Field((), FLOAT32)}
        what = f"the replay buffer of {self.capacity:,} transitions"
        size = count * (row_bytes(fields) + INDEX.itemsize) + self._kept * 2 * INDEX.itemsize
        require_memory("replay.capacity", self.capacity, what, size, self._device)
        self.rows = Rows(fields, count, self._device)
        self._left = zeros((count,), INDEX, self._device)

    def _is_full(self, fresh: Any) -> bool:
        """Whether the next step would overwrite what is kept."""
        if not self.appended:
            return False
        oldest = max(0, self.appended + self.num_envs - self._kept)
        used: Any = (self._head - self._rows_of(oldest + np.arange(self.num_envs))) % self.rows.count // self.num_envs
        return bool((used + 1 + fresh >= self._slots).any())

    def _grow(self) -> None:
        steps, saved = self.since(0), self.saved_state()
        self._allocate(self._slots + self._slots // 4 + 2)
        self.restore(steps, saved)

    def _end(self, ended: Any) -> None:
        """End the episodes of these environments: their steps can be drawn, and count down to the end."""
        for env in np.flatnonzero(ended & self._running):
            back = np.arange(1, min(int(self._run[env]), self._slots - 1) + 1)
            put(self._left, self._after(self._head[env], -back), back)
        self._running = self._running & ~ended
        self._count_whole()

    def _count_whole(self) -> None:
        waiting = np.minimum(self._run, self.n_step - 1) * self._running
        first = self.appended - waiting * self.num_envs + np.where(waiting > 0, np.arange(self.num_envs), 0)
        self.whole = int(first.min())

    def _after(self, rows: Any, steps: Any) -> Any:
        return (rows + self.num_envs * steps) % self.rows.count

    def _rows_of(self, numbers: Any) -> Any:
        """The rows (n,) of transitions, as a numpy array."""
        return as_numpy(take(self._table, on_device(numbers % self._kept, self._device)))[:, FIRST]

    def _read(self, name: str, rows: Any) -> Column:
        """Rows of a column, in its own dtype."""
        found = as_numpy(take(self.rows.columns[name], on_device(rows, self._device)))
        return found.astype(self.fields[name].dtype, copy=False)
