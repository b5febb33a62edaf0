"""Nested dictionaries and tuples: walking them, naming what is in them, and storing them without pickles.

Dictionaries, tuples and named tuples are the branches; whatever else there is, lists too, is a leaf.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

ARRAY, SCALAR = "numpy array", "numpy scalar"
PLAIN = (type(None), bool, int, float, str, bytes)

T = TypeVar("T")


def map_leaves(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """A tree of the same branches with what `function` makes of the leaves that lie in the same place of all trees."""
    if isinstance(tree, Mapping):
        return {key: map_leaves(function, part, *(other[key] for other in others)) for key, part in tree.items()}
    if isinstance(tree, tuple):
        return _tuple_like(tree, (map_leaves(function, *parts) for parts in zip(tree, *others, strict=True)))
    return function(tree, *others)


def leaves_of(tree: Any) -> list[Any]:
    """The leaves in their order."""
    if isinstance(tree, Mapping):
        tree = tuple(tree.values())
    return [leaf for part in tree for leaf in leaves_of(part)] if isinstance(tree, tuple) else [tree]


def named_leaves(tree: Any) -> dict[str, Any]:
    """The leaves by their path: `/key` in a dictionary, `/field` in a named tuple, `/#0` in a tuple; `""` alone."""
    return {"".join(f"/{key}" for key in path): leaf for path, leaf in _paths(tree)}


def filled(template: T, leaves: Mapping[str, Any]) -> T:
    """A tree of the same branches as the template, with leaves by their path."""
    given = iter([leaves[name] for name in named_leaves(template)])
    tree: T = map_leaves(lambda _: next(given), template)
    return tree


def tree_of(leaves: Mapping[str, Any]) -> Any:
    """The dictionaries and tuples that `named_leaves` gave these paths of."""
    if "" in leaves:
        return leaves[""]
    parts: dict[str, dict[str, Any]] = {}
    for name, leaf in leaves.items():
        key, slash, rest = name.removeprefix("/").partition("/")
        parts.setdefault(key, {})[slash + rest] = leaf
    if all(key.startswith("#") for key in parts):
        return tuple(tree_of(parts[f"#{index}"]) for index in range(len(parts)))
    return {key: tree_of(part) for key, part in parts.items()}


def entry(tree: Any, index: int) -> Any:
    """Number `index` of a stack of trees."""
    return map_leaves(lambda leaf: leaf[index], tree)


def same(one: Any, other: Any) -> bool:
    """Whether two trees, or lists of trees, hold the same numbers in the same places."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    ours, theirs = named_leaves(one), named_leaves(other)
    if ours.keys() == {""} or ours.keys() != theirs.keys():
        return ours.keys() == theirs.keys() and _equal(one, other)
    return all(same(ours[name], theirs[name]) for name in ours)


def _equal(one: Any, other: Any) -> bool:
    """Whether two leaves are equal; what is not a number equals what is not one either."""
    floating = isinstance(one, float) or (isinstance(one, Tensor) and one.is_floating_point())
    return bool(np.array_equal(one, other, equal_nan=floating))


def to_storable(tree: Any) -> Any:
    """The same tree with numpy arrays and scalars as marked tensors.

    Raises:
        TypeError: if something in it is neither a tensor, an array, a number, a text nor a container of them.
    """
    return map_leaves(_storable, tree)


def from_storable(tree: Any) -> Any:
    """The inverse of `to_storable`."""
    if isinstance(tree, dict) and tree.keys() == {ARRAY}:
        return tree[ARRAY].numpy()
    if isinstance(tree, dict) and tree.keys() == {SCALAR}:
        return tree[SCALAR].numpy()[0]
    if isinstance(tree, dict):
        return {key: from_storable(value) for key, value in tree.items()}
    return type(tree)(map(from_storable, tree)) if isinstance(tree, list | tuple) else tree


def is_storable(tree: Any) -> bool:
    """Whether `to_storable` takes it, objects that merely look like numbers left aside."""
    if isinstance(tree, list):
        return all(map(is_storable, tree))
    if isinstance(tree, dict | tuple):
        keys = tree if isinstance(tree, dict) else ()
        parts = tree.values() if isinstance(tree, dict) else tree
        return all(isinstance(key, str | int) for key in keys) and all(map(is_storable, parts))
    if isinstance(tree, np.ndarray):
        return tree.dtype.kind in "biuf"
    return isinstance(tree, np.number | np.bool_) or type(tree) in PLAIN


def _tuple_like(tree: Any, parts: Iterator[Any]) -> Any:
    return tree._make(parts) if hasattr(tree, "_make") else tuple(parts)


def _paths(tree: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not isinstance(tree, Mapping | tuple):
        yield (), tree
        return
    if isinstance(tree, tuple):
        fields = getattr(tree, "_fields", [f"#{index}" for index in range(len(tree))])
        tree = dict(zip(fields, tree, strict=True))
    for key, part in tree.items():
        for path, leaf in _paths(part):
            yield (str(key), *path), leaf


def _storable(leaf: Any) -> Any:
    if isinstance(leaf, np.ndarray):
        return {ARRAY: torch.from_numpy(np.array(leaf))}
    if isinstance(leaf, np.generic):
        return {SCALAR: torch.from_numpy(np.array(leaf)[None])}
    if isinstance(leaf, list):
        return [to_storable(part) for part in leaf]
    if isinstance(leaf, Tensor) or type(leaf) in PLAIN:
        return leaf
    raise TypeError(f"{type(leaf).__name__} cannot be stored")
