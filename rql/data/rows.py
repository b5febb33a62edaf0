"""Rows of columns on the device of a run.

Narrow columns of float32 lie beside each other in one block, so that a transition is in one place of the memory; all
others lie alone, in their own dtype. On the CPU they are numpy arrays, whose small gathers take half the time of
torch's; elsewhere they are tensors.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rql.data.columns import Columns, Field

Array = Any
"""A numpy array on the CPU, a tensor elsewhere."""
FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


class Rows:
    """`count` rows, all zeros at first."""

    def __init__(self, fields: Mapping[str, Field], count: int, device: torch.device, given: Columns | None = None):
        """`given` are columns that are taken as they are; those outside the block are not copied on the CPU."""
        self.device, self.count, given = device, count, given or {}
        self.slices: dict[str, slice | int] = {}
        """Where a column lies in the block."""
        width = 0
        for name, field in fields.items():
            if field.dtype == FLOAT32 and len(field.shape) <= 1:
                end = width + int(np.prod(field.shape))
                self.slices[name] = slice(width, end) if field.shape else width
                width = end
        self.block = zeros((count, width), FLOAT32, device)
        self.alone = {*fields} - {*self.slices}
        """The columns outside the block."""
        self.columns: dict[str, Array] = {}
        """(count, …) each; those in the block are views of it."""
        for name, field in fields.items():
            if name in self.slices:
                self.columns[name] = self.block[:, self.slices[name]]
                if name in given:
                    self.write(name, slice(None), given[name])
            elif name in given:
                self.columns[name] = on_device(np.asarray(given[name]), device)
            else:
                self.columns[name] = zeros((count, *field.shape), field.dtype, device)

    def write(self, name: str, rows: Any, values: Any) -> None:
        """Set some rows of a column to values of a numpy array."""
        put(self.columns[name], rows, values)


def row_bytes(fields: Mapping[str, Field]) -> int:
    """Bytes that a row takes."""
    return sum(field.nbytes for field in fields.values())


def zeros(shape: tuple[int, ...], dtype: np.dtype[Any], device: torch.device) -> Array:
    """An array of zeros."""
    if device.type == "cpu":
        return np.zeros(shape, dtype)
    return torch.zeros(shape, dtype=torch.from_numpy(np.zeros(0, dtype)).dtype, device=device)


def on_device(array: np.ndarray[Any, Any], device: torch.device) -> Array:
    """The array itself on the CPU, a copy elsewhere."""
    return array if device.type == "cpu" else torch.from_numpy(array).to(device)


def take(array: Array, numbers: Array, axis: int = 0) -> Array:
    """The rows (or the columns) with these numbers; beyond the end of a numpy array it begins anew."""
    if not isinstance(array, np.ndarray):
        return array.index_select(axis, numbers) if numbers.ndim == 1 else array[numbers]
    if array.flags.c_contiguous:
        return array.take(numbers, axis, mode="wrap")
    return array[numbers % len(array)]  # `take` would copy all of the array first


def within(rows: Array, count: int) -> Array:
    """The numbers of rows, as `take` wants them where there are `count`."""
    return rows if isinstance(rows, np.ndarray) else rows % count


def join(*arrays: Array) -> Array:
    """Arrays, or tensors, one after the other."""
    return np.concatenate(arrays) if isinstance(arrays[0], np.ndarray) else torch.cat(arrays)


def cast(array: Array, dtype: np.dtype[Any]) -> Array:
    """The array in float32 or float64."""
    if isinstance(array, np.ndarray):
        return array.astype(dtype, copy=False)
    return array.float() if dtype == FLOAT32 else array.double()


def as_tensor(array: Array) -> Tensor:
    """A tensor of the same memory."""
    return torch.from_numpy(array) if isinstance(array, np.ndarray) else array


def as_numpy(array: Array) -> np.ndarray[Any, Any]:
    """A numpy array, of the same memory on the CPU."""
    return array if isinstance(array, np.ndarray) else array.cpu().numpy()


def put(array: Array, rows: Any, values: Any) -> None:
    """Set the rows with these numbers (n,), a numpy array or a slice, to values of a numpy array."""
    if isinstance(array, Tensor):
        rows = rows if isinstance(rows, slice) else torch.as_tensor(rows, device=array.device)
        values = torch.as_tensor(values, device=array.device).to(array.dtype)
    array[rows] = values
