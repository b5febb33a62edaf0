"""What the servers in examples/ share: cutting flat observations, and remembering those of each slot."""

import importlib.util
import os
from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest
from conftest import ROOT

SIZES = {"arm": 2, "cube": 1}
OBS = np.array([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], np.float32)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("served", ROOT / "examples" / "serve_policy.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with monkeypatch.context() as patched:
        patched.setattr(os, "dup2", lambda *_: None)  # the standard output of the tests stays
        spec.loader.exec_module(module)
    yield module
    module.ANSWERS.close()


def test_an_observation_is_cut_in_the_order_of_the_policy(served: ModuleType) -> None:
    split = served.Split(SIZES)
    pieces = split(OBS)
    assert split.obs_dim == 3 and list(pieces) == ["arm", "cube"]
    assert pieces["arm"].tolist() == [[0, 1], [3, 4]] and pieces["cube"].tolist() == [[2], [5]]


def test_an_observation_is_cut_as_it_is_told_and_pieces_may_overlap(served: ModuleType) -> None:
    pieces = served.Split(SIZES, ["cube=2:3", "arm=1:3"])(OBS[0])
    assert pieces["arm"].tolist() == [1, 2] and pieces["cube"].tolist() == [2]


@pytest.mark.parametrize("places", [["arm=0:2"], ["arm=0:1", "cube=1:3"], ["arm=0:2", "hand=2:3"]])
def test_places_that_are_not_those_of_the_policy_are_an_error(places: list[str], served: ModuleType) -> None:
    with pytest.raises(ValueError, match=r"the policy takes \{'arm': 2, 'cube': 1\}, and not arm="):
        served.Split(SIZES, places)


@pytest.mark.parametrize("places", [[], ["arm=0:2", "cube=2:3"]])
def test_observations_that_are_too_short_are_an_error(places: list[str], served: ModuleType) -> None:
    with pytest.raises(ValueError, match="and not observations of 2 numbers"):
        served.Split(SIZES, places)(OBS[:, :2])


def test_what_is_left_of_an_observation_has_to_be_said(served: ModuleType) -> None:
    longer = np.zeros((2, 4))
    with pytest.raises(ValueError, match="and not observations of 4 numbers"):
        served.Split(SIZES)(longer)
    assert served.Split(SIZES, ["arm=0:2", "cube=3:4"])(longer)["cube"].shape == (2, 1)


def test_each_slot_has_a_history_of_its_own(served: ModuleType) -> None:
    history = served.History(3)

    def add(**seen: float) -> list[list[float]]:
        slots = np.array([int(slot[1:]) for slot in seen])
        found: list[list[float]] = history.add(np.array([[one] for one in seen.values()]), slots)[..., 0].tolist()
        return found

    assert add(s4=1, s7=10) == [[1, 1, 1], [10, 10, 10]]
    assert add(s7=11) == [[10, 10, 11]]
    assert add(s7=12, s4=2) == [[10, 11, 12], [1, 1, 2]]
    history.reset(np.array([7, 9]))
    assert add(s4=3, s7=20) == [[1, 2, 3], [20, 20, 20]]


def test_a_slot_may_be_met_twice_in_a_batch(served: ModuleType) -> None:
    assert served.History(2).add(OBS, np.array([0, 0]))[..., 0].tolist() == [[0, 0], [0, 3]]
