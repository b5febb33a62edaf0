"""Data sets in memory: filters, mixtures, and batches drawn from them."""

from typing import Any

import numpy as np
import pytest
import torch
from made_data import CPU, ENDED, LENGTHS, as_rows, assert_same_transitions, brute_force, numbered, seeded, wandering

from rql.config.data import SubsetConfig
from rql.data.batch import Draw, RewardTransform
from rql.data.dataset import Dataset
from rql.data.transitions import mix, subset
from rql.envs.spaces import ContinuousSpec, DiscreteSpec
from rql.utils.errors import DataError


def test_actions_are_rescaled_and_back() -> None:
    spec = ContinuousSpec(np.array([-2.0, 0.0], np.float32), np.array([2.0, 10.0], np.float32), (2,))
    native = np.array([[-2.0, 10.0], [1.0, 2.5]], np.float32)
    assert spec.from_env(native).tolist() == [[-1.0, 1.0], [0.5, -0.5]]
    assert np.allclose(spec.to_env(spec.from_env(native)), native)
    rng = np.random.default_rng(0)
    for low, high in np.sort(rng.uniform(-9, 9, (200, 2)).astype(np.float32), axis=1):
        box = ContinuousSpec(np.array([low]), np.array([high]), (1,))
        assert low <= box.to_env(-np.ones((1, 1)))[0, 0] and box.to_env(np.ones((1, 1)))[0, 0] <= high
    assert DiscreteSpec(3, start=-1).from_env(np.array([-1, 1])).tolist() == [0, 2]


EPISODES = (0, 4, 6, 9, 16)
RETURNS = [6.0, 9.0, 21.0, 84.0, 70.0]
"""Of `numbered(20, starts=EPISODES)`."""


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"top_fraction": 0.4}, [3, 4]),
        ({"top_fraction": 0.01}, [3]),
        ({"min_return": 21.0}, [2, 3, 4]),
        ({"top_fraction": 0.6, "min_return": 70.0}, [3, 4]),
    ],
    ids=str,
)
def test_filters_by_return(keep: dict[str, Any], kept: list[int]) -> None:
    data = numbered(20, starts=EPISODES)
    assert data.returns().tolist() == RETURNS
    chosen = subset(data, SubsetConfig(**keep))
    assert chosen.returns().tolist() == [RETURNS[i] for i in kept]
    ends = [*EPISODES[1:], 20]
    rows = np.concatenate([np.arange(EPISODES[i], ends[i]) for i in kept])
    assert np.array_equal(chosen.obs[:, 0], rows) and np.array_equal(chosen.truncated, data.truncated[rows])
    assert (chosen is data) == (not keep)


def test_random_subsets_are_of_the_size_and_the_seed() -> None:
    data = numbered(20, starts=EPISODES)
    three = [subset(data, SubsetConfig(episodes=3, seed=seed)) for seed in (0, 0, 1, 2, 3)]
    assert all(len(one.starts) == 3 for one in three)
    assert three[0].returns().tolist() == three[1].returns().tolist()
    assert len({tuple(one.returns()) for one in three}) > 1
    for count in range(1, 21):
        some = subset(data, SubsetConfig(transitions=count, seed=count))
        assert len(some) >= count and len(some) - max(some.ends - some.starts) < count
    with pytest.raises(DataError, match=r"no episode reaches 100.*the best 84"):
        subset(data, SubsetConfig(min_return=100.0))


def test_a_mixture_is_drawn_from_by_weight_and_uniformly_within_a_part() -> None:
    sets = [numbered(40, starts=(0, 10)), numbered(3, first=100), numbered(100, first=200, starts=(0, 50))]
    mixed = mix(sets, [1.0, 2.0, 5.0])
    assert mixed.starts.tolist() == [0, 10, 40, 43, 93] and mixed.part.tolist() == [0, 0, 1, 2, 2]
    n = Dataset(mixed, CPU).sample(80_000, seeded(0), Draw()).reward.numpy()
    shares = [np.mean(n < 100), np.mean((n >= 100) & (n < 200)), np.mean(n >= 200)]
    assert shares == pytest.approx([1 / 8, 2 / 8, 5 / 8], abs=0.01)
    assert np.bincount(n.astype(int), minlength=300)[100:103] / 80_000 == pytest.approx([1 / 12] * 3, abs=0.01)
    assert np.ptp(np.bincount(n.astype(int))[200:300]) < 200
    few = Dataset(subset(mixed, SubsetConfig(min_return=1000.0)), CPU)
    assert set(few.sample(1000, seeded(0), Draw()).reward.tolist()) == set(range(200, 300))


def test_rewards_are_scaled_and_shifted_at_the_draw_and_nothing_else_changes() -> None:
    data = Dataset(numbered(10), CPU)
    plain, changed = (data.sample(64, seeded(0), Draw(reward=reward)) for reward in (RewardTransform(), HALVED))
    assert torch.equal(changed.reward, 0.5 * plain.reward - 1.0)
    assert all(torch.equal(a, b) for a, b in zip(plain[:2] + plain[3:6], changed[:2] + changed[3:6], strict=True))


HALVED = RewardTransform(0.5, -1.0)


@pytest.mark.parametrize("n", [1, 2, 3, 10])
def test_n_steps_of_a_data_set_end_where_its_episodes_end(n: int) -> None:
    data = wandering(LENGTHS, ENDED, seed=0)
    drawn = Dataset(data, CPU).sample(1000, seeded(0), Draw(n, 0.9))
    assert_same_transitions(as_rows(drawn), brute_force(data, n, 0.9))
