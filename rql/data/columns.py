"""Episodes as named columns, with a row for each observation.

An episode of T steps has T + 1 rows. The row of step t holds its observation, action, reward and whatever else belongs
to the step; the last row holds the last observation alone. What belongs to the outcome of step t stands in the row
after it, beside the observation that it led to: `terminated` and `truncated`. So the next observation of a row is the
observation of the next row, and nothing is stored twice. `proposals` belong to an observation: what the prior of a run
proposes there, where that is another policy than its own clone.

Should the observation after a step not be that of the next step, `next_obs` is a column too: in the row after the step.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rql.envs.spaces import DiscreteSpec, Spaces

Column = NDArray[Any]
Columns = Mapping[str, Column]

OBS, ACTION, REWARD, TERMINATED, TRUNCATED, NEXT_OBS = "obs", "action", "reward", "terminated", "truncated", "next_obs"
PROPOSALS = "proposals"
OF_STATES = (OBS, PROPOSALS)
"""Columns that the last row of an episode has too."""
OUTCOMES = (TERMINATED, TRUNCATED, NEXT_OBS)
"""Columns that stand in the row after the step."""


class Field(NamedTuple):
    """What one row of a column holds."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        """Bytes of a row."""
        return int(np.prod(self.shape)) * self.dtype.itemsize


def fields_of(columns: Columns) -> dict[str, Field]:
    """The fields of some columns."""
    return {name: Field(column.shape[1:], column.dtype) for name, column in columns.items()}


def collected_fields(spaces: Spaces, proposals: tuple[int, int] | None = None) -> dict[str, Field]:
    """The columns of what is collected in an environment.

    Where a prior makes `proposals` (K, h) at each observation, they are K times h actions, one after the other. Rewards
    are kept as exactly as they are paid.
    """
    discrete = isinstance(spaces.action, DiscreteSpec)
    action = Field((), np.dtype(np.int64)) if discrete else Field((spaces.action.width,), np.dtype(np.float32))
    fields = {
        OBS: Field(*spaces.observation.stored_form),
        ACTION: action,
        REWARD: Field((), np.dtype(np.float64)),
        TERMINATED: Field((), np.dtype(np.bool_)),
    }
    if proposals is None:
        return fields
    count, length = proposals
    return fields | {PROPOSALS: Field((count, length * spaces.action.width), action.dtype)}


def first_rows(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """(E,): the first row of each episode of these lengths."""
    rows: NDArray[np.int64] = np.cumsum(lengths + 1) - lengths - 1
    return rows


def step_rows(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """(T,): the row of each step."""
    rows: NDArray[np.int64] = np.arange(int(lengths.sum())) + np.repeat(np.arange(len(lengths)), lengths)
    return rows


def lay_out(steps: Columns, lengths: NDArray[np.int64]) -> dict[str, Column]:
    """Columns with a row for each step, `next_obs` among them, with a row for each observation instead."""
    rows, last = step_rows(lengths), first_rows(lengths) + lengths
    columns = {}
    for name, column in steps.items():
        laid = np.zeros((len(rows) + len(lengths), *column.shape[1:]), column.dtype)
        laid[rows + 1 if name in OUTCOMES else rows] = column
        columns[name] = laid
    columns[OBS][last] = columns[NEXT_OBS][last]
    return columns


def continues(columns: Columns, lengths: NDArray[np.int64]) -> bool:
    """Whether `next_obs` says nothing that `obs` does not."""
    following = np.ones(len(columns[OBS]), np.bool_)
    following[first_rows(lengths)] = False
    return bool(np.array_equal(columns[OBS][following], columns[NEXT_OBS][following]))


def steps_left(final: NDArray[np.bool_], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """(R,): steps from each row to the end of its episode, where a step may be final before that, by row after it."""
    rows = np.arange(len(final))
    ends = np.array(final)
    ends[first_rows(lengths) + lengths] = True
    last = np.where(ends, rows, len(final))
    next_end = np.minimum.accumulate(np.append(last, len(final))[::-1])[::-1]
    left: NDArray[np.int64] = next_end[1:] - rows
    return left
