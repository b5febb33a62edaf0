"""Observations in any unit are normalised, and what float32 cannot hold is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_data import flat, load, write_npz

from rql.config.data import D4RLDatasetConfig
from rql.envs.precision import lost
from rql.nn.normalizer import LIMIT, Normalizer
from rql.utils.errors import DataError

CPU = torch.device("cpu")


def normalised(obs: Any) -> torch.Tensor:
    obs = np.asarray(obs, np.float32)
    return Normalizer.of(obs, CPU)(torch.from_numpy(obs))


@pytest.mark.parametrize("unit", [1e-20, 1e-9, 1e-4, 1.0, 1e4, 1e20])
def test_the_unit_of_an_observation_makes_no_difference(unit: float) -> None:
    draws = np.random.default_rng(0).normal(0.5, 1.0, (500, 2))
    torch.testing.assert_close(normalised(unit * draws), normalised(draws), atol=1e-5, rtol=1e-4)
    assert normalised(unit * draws).std(0, correction=0).allclose(torch.ones(2), atol=1e-4)


def test_rounding_is_no_unit() -> None:
    rounded = np.float32(0.3) * (1.0 + np.float32(6e-8) * np.random.default_rng(0).integers(-1, 2, (500, 1)))
    assert Normalizer.of(rounded.astype(np.float32), CPU).std.item() == 1.0
    assert Normalizer.of(np.zeros((5, 1), np.float32), CPU).std.item() == 1.0


def test_a_dimension_that_hardly_varies_is_taken_to_vary_as_the_others_do() -> None:
    trembling, constant, narrow = 1e-6, 0.0, 4e-3
    draws = np.random.default_rng(0).normal(0.0, [0.1, 0.2, 0.4, narrow, trembling, constant], (500, 6))
    draws[:, 4:] += 1e-5
    normalizer, own = Normalizer.of(draws.astype(np.float32), CPU), draws.std(0)
    usual = np.median(own[:5])
    np.testing.assert_allclose(normalizer.std, [*own[:4], usual, usual], rtol=1e-4)
    touched = normalizer(torch.tensor([0.0, 0.0, 0.0, 0.0, 0.05, 0.05]))
    np.testing.assert_allclose(touched[4:], 0.05 / usual, rtol=1e-3)


def test_what_is_far_from_all_data_is_just_beyond_them() -> None:
    normalizer = Normalizer.of(np.array([[-1.0, 5.0], [1.0, 5.0]], np.float32), CPU)
    far = torch.tensor([[3.0, 5.5], [1e9, -1e9], [-np.inf, 0.0]])
    assert normalizer(far).tolist() == [[3.0, 0.5], [LIMIT, -LIMIT], [-LIMIT, -5.0]]


@pytest.mark.parametrize(
    ("offsets", "reward", "said"),
    [
        ([1.7e9, 0.0, 0.0], 0.0, r"observations lose what they say: number 0 of each lies near 1\.7e\+09"),
        ([0.0, 0.0, -5e6], 0.0, r"observations lose what they say: number 2 of each lies near -5e\+06"),
        ([0.0, 0.0, 0.0], 1.7e9, r"rewards lose what they say: they lie near 1\.7e\+09 .*subtract an offset"),
    ],
)
def test_numbers_that_float32_does_not_tell_apart_are_refused(
    offsets: list[float], reward: float, said: str, data_root: Path
) -> None:
    arrays = {name: array.astype(np.float64) for name, array in flat([(50, True)]).items()}
    for key, offset in (("observations", offsets), ("next_observations", offsets), ("rewards", reward)):
        arrays[key] += offset
    with pytest.raises(DataError, match=rf"far\.npz: {said}"):
        load(D4RLDatasetConfig(path=str(write_npz(data_root / "far.npz", arrays))))


def test_little_is_lost_of_other_numbers() -> None:
    rng = np.random.default_rng(0)
    for fine in (
        1.0 + 1e-12 * rng.normal(size=(50, 1)),  # a number at rest
        1.7e9 + 1e6 * rng.normal(size=(50, 1)),
        np.full((50, 1), 1.7e9),
        rng.integers(0, 2**22, 50),
        rng.integers(0, 255, (50, 3)).astype(np.uint8),
        np.array([2**32 - 1, 0], np.uint32),
    ):
        assert lost(fine) is None
    assert lost(1.7e9 + np.arange(50.0)) and lost(2_000_000_000 + np.arange(50)) and lost(-1e12 + np.arange(50.0))
