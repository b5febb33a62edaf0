"""Trees of arrays and plain values."""

import io
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from rql.utils.tree import filled, from_storable, named_leaves, same, to_storable, tree_of


class Pair(NamedTuple):
    x: Any
    y: Any


def test_leaves_have_names_by_which_a_tree_is_filled_again() -> None:
    tree = {"a": (1, [2, 3]), "b": Pair(4, {"c": 5})}
    names = named_leaves(tree)
    assert names == {"/a/#0": 1, "/a/#1": [2, 3], "/b/x": 4, "/b/y/c": 5}
    assert filled(tree, {name: str(leaf) for name, leaf in names.items()})["b"] == Pair("4", {"c": "5"})
    assert tree_of(names) == {"a": (1, [2, 3]), "b": {"x": 4, "y": {"c": 5}}} and tree_of(named_leaves(7)) == 7
    unknown = {"a": torch.tensor([1.0, torch.nan])}
    assert same(unknown, {"a": unknown["a"].clone()}) and not same(unknown, {"a": torch.tensor([torch.nan, 1.0])})
    assert same(tree, {**tree}) and not same(tree, {**tree, "a": (1, [2, 4])}) and not same(tree, {"a": tree["a"]})


def test_trees_of_arrays_and_numbers_survive_a_file_without_pickles() -> None:
    tree = {"a": [np.arange(3, dtype=np.uint64), (1.5, None, "x")], "b": np.float64(0.1), "c": 2**127, "d": {3: True}}
    content = io.BytesIO()
    torch.save(to_storable(tree), content)
    content.seek(0)
    found = from_storable(torch.load(content, weights_only=True))
    assert found["a"][0].dtype == np.uint64 and found["a"][0].tolist() == [0, 1, 2]
    assert found["a"][1] == (1.5, None, "x") and isinstance(found["b"], np.float64)
    assert (found["b"], found["c"], found["d"]) == (0.1, 2**127, {3: True})
    with pytest.raises(TypeError, match="object cannot be stored"):
        to_storable([object()])
