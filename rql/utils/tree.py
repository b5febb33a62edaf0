"""Nested dictionaries, lists and tuples as what a file without pickles can hold: tensors and plain values."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

ARRAY, SCALAR = "numpy array", "numpy scalar"
PLAIN = (type(None), bool, int, float, str, bytes)


def to_storable(tree: Any) -> Any:
    """The same tree with numpy arrays and scalars as marked tensors.

    Raises:
        TypeError: if something in it is neither a tensor, an array, a number, a text nor a container of them.
    """
    if isinstance(tree, np.ndarray):
        return {ARRAY: torch.from_numpy(np.array(tree))}
    if isinstance(tree, np.generic):
        return {SCALAR: torch.from_numpy(np.array(tree)[None])}
    if isinstance(tree, dict):
        return {key: to_storable(value) for key, value in tree.items()}
    if type(tree) in (list, tuple):
        return type(tree)(to_storable(value) for value in tree)
    if isinstance(tree, Tensor) or type(tree) in PLAIN:
        return tree
    raise TypeError(f"{type(tree).__name__} cannot be stored")


def from_storable(tree: Any) -> Any:
    """The inverse of `to_storable`."""
    if isinstance(tree, dict):
        if tree.keys() == {ARRAY}:
            return tree[ARRAY].numpy()
        if tree.keys() == {SCALAR}:
            return tree[SCALAR].numpy()[0]
        return {key: from_storable(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(from_storable(value) for value in tree)
    return tree


def is_storable(tree: Any) -> bool:
    """Whether `to_storable` takes it, objects that merely look like numbers left aside."""
    if isinstance(tree, np.ndarray):
        return tree.dtype.kind in "biuf"
    if isinstance(tree, dict):
        return all(isinstance(key, str | int) and is_storable(value) for key, value in tree.items())
    if type(tree) in (list, tuple):
        return all(is_storable(value) for value in tree)
    return isinstance(tree, np.number | np.bool_) or type(tree) in PLAIN
