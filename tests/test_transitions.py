"""What is done to transitions: filters, mixtures, reward transforms, n steps, batches, the replay buffer."""

from typing import Any

import numpy as np
import pytest
import torch
from conftest import box_spaces, transitions_of

from rql.config.data import SubsetConfig
from rql.data.replay import PackedDataset, ReplayBuffer
from rql.data.rows import RowLayout
from rql.data.transitions import RewardTransform, Transitions, mix, n_step, subset
from rql.envs.spaces import ContinuousSpec, DiscreteSpec
from rql.training.n_step import NStep
from rql.utils.errors import DataError

CPU = torch.device("cpu")
UNIT = ContinuousSpec(-np.ones(1), np.ones(1), (1,))


def numbered(count: int, discrete: bool = False, starts: Any = (0,), first: int = 0) -> Transitions:
    """Transitions whose every field says which one it is; each odd one is terminated, each even one truncated."""
    n = np.arange(first, first + count, dtype=np.float32)
    action = (n % 3).astype(np.int64) if discrete else n[:, None] / 1000
    spaces = box_spaces(2, DiscreteSpec(3, 0) if discrete else UNIT)
    obs = np.stack([n, n], axis=1)
    flags = n % 2 == 1
    return transitions_of(spaces, obs, action, n, obs + 0.5, flags, ~flags, starts)


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
    n = PackedDataset(mixed, CPU).sample(80_000, torch.Generator().manual_seed(0)).reward.numpy()
    shares = [np.mean(n < 100), np.mean((n >= 100) & (n < 200)), np.mean(n >= 200)]
    assert shares == pytest.approx([1 / 8, 2 / 8, 5 / 8], abs=0.01)
    assert np.bincount(n.astype(int), minlength=300)[100:103] / 80_000 == pytest.approx([1 / 12] * 3, abs=0.01)
    assert np.ptp(np.bincount(n.astype(int))[200:300]) < 200
    few = PackedDataset(subset(mixed, SubsetConfig(min_return=1000.0)), CPU)
    assert set(few.sample(1000, torch.Generator().manual_seed(0)).reward.tolist()) == set(range(200, 300))


def test_rewards_are_scaled_and_shifted_and_nothing_else_changes() -> None:
    data = numbered(10)
    before = data.rows.copy()
    changed = RewardTransform(0.5, -1.0).of(data)
    assert changed.reward.tolist() == (0.5 * np.arange(10) - 1).tolist()
    assert np.array_equal(changed.obs, data.obs) and np.array_equal(changed.next_obs, data.next_obs)
    assert np.array_equal(before, data.rows)
    assert RewardTransform().of(data) is data


def wandering(lengths: list[int], terminated: list[bool], seed: int) -> Transitions:
    """Episodes of a random walk, each ended by termination or truncation."""
    rng, total, ends = np.random.default_rng(seed), sum(lengths), np.cumsum(lengths) - 1
    obs = rng.normal(size=(total, 2)).astype(np.float32)
    following = np.roll(obs, -1, axis=0)
    following[ends] = rng.normal(size=(len(ends), 2))
    flags = np.zeros((2, total), np.bool_)
    flags[[0 if ended else 1 for ended in terminated], ends] = True
    action = rng.uniform(-1, 1, (total, 1))
    return transitions_of(
        box_spaces(2, UNIT), obs, action, rng.normal(size=total), following, flags[0], flags[1], ends - lengths + 1
    )


LENGTHS, ENDED = [5, 1, 2, 7, 3], [True, False, True, False, True]


def brute_force(data: Transitions, n: int, discount: float) -> np.ndarray[Any, Any]:
    """The n-step rows, one at a time."""
    rows = []
    for start, end in zip(data.starts, data.ends, strict=True):
        for t in range(start, end):
            last = min(t + n, end) - 1
            reward = sum(discount ** (i - t) * float(data.reward[i]) for i in range(t, last + 1))
            final = [*data.next_obs[last], reward, data.terminated[last], last - t + 1]
            rows.append([*data.obs[t], *data.action[t], *final])
    return np.array(rows, dtype=np.float32)


@pytest.mark.parametrize("n", [1, 2, 3, 10])
def test_n_steps_of_a_data_set_end_where_its_episodes_end(n: int) -> None:
    data = wandering(LENGTHS, ENDED, seed=0)
    assert np.allclose(n_step(data, n, 0.9).rows, brute_force(data, n, 0.9), atol=1e-6)


@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize("n", [1, 2, 3, 10])
def test_n_steps_collected_online_are_those_of_a_data_set(n: int, num_envs: int) -> None:
    """Each environment plays a data set; what comes out, and stays in a ring that wraps around, is the same."""
    sets = [wandering(LENGTHS, ENDED, seed) for seed in range(num_envs)]
    layout, total = sets[0].layout, sum(LENGTHS)
    steps, stored = NStep(layout, n, 0.9, num_envs), []
    replay = ReplayBuffer(num_envs * 10, layout, CPU, None)
    for t in range(total):
        rows = np.stack([one.rows[t] for one in sets])
        done = np.array([one.terminated[t] or one.truncated[t] for one in sets])
        stored.append(steps.add(rows, done))
        replay.append(torch.from_numpy(stored[-1]))
    expected = np.concatenate([brute_force(one, n, 0.9) for one in sets])
    found = np.concatenate(stored)
    assert np.allclose(found[np.lexsort(found.T)], expected[np.lexsort(expected.T)], atol=1e-6)
    held = {tuple(row) for row in replay.since(0).tolist()}
    assert held == {tuple(row) for row in found[-num_envs * 10 :].tolist()}


@pytest.mark.parametrize("discrete", [True, False])
def test_a_batch_keeps_the_fields_of_a_transition_together(discrete: bool) -> None:
    batch = PackedDataset(numbered(100, discrete), CPU).sample(256, torch.Generator().manual_seed(0))
    n = batch.reward
    assert len(set(n.tolist())) > 80
    assert torch.equal(batch.obs, torch.stack([n, n], 1)) and torch.equal(batch.next_obs, batch.obs + 0.5)
    assert torch.equal(batch.terminated, n % 2) and torch.equal(batch.steps, torch.ones(256))
    expected = (n % 3).long() if discrete else (n / 1000).unsqueeze(1)
    assert torch.equal(batch.action, expected) and batch.action.dtype == expected.dtype


def filled(capacity: int, appended: int) -> ReplayBuffer:
    data = numbered(50)
    replay = ReplayBuffer(capacity, data.layout, CPU, PackedDataset(data, CPU))
    for first in range(1000, 1000 + appended, 4):
        replay.append(torch.from_numpy(numbered(4, first=first).rows))
    return replay


def test_the_replay_buffer_keeps_the_newest_and_mixes_as_told() -> None:
    replay, draws = filled(10, 24), torch.Generator().manual_seed(0)
    online = replay.sample(500, 0.0, draws).reward
    assert replay.size == 10 and set(online.tolist()) == set(range(1014, 1024))
    mixed = replay.sample(100, 0.3, draws).reward
    assert int((mixed < 50).sum()) == 30
    assert bool((replay.sample(100, 1.0, draws).reward < 50).all())


def test_the_offline_data_are_not_copied() -> None:
    data = numbered(50)
    packed = PackedDataset(data, CPU)
    replay = ReplayBuffer(10, data.layout, CPU, packed)
    assert replay.offline is packed and packed.rows.data_ptr() == data.rows.ctypes.data


@pytest.mark.parametrize("appended", [0, 4, 24], ids=["empty", "part", "wrapped"])
def test_a_restored_buffer_draws_and_evicts_as_the_one_it_was_saved_from(appended: int) -> None:
    one, other = filled(10, appended), filled(10, 8)
    other.restore(one.since(0), one.appended)
    for buffer in (one, other):
        buffer.append(torch.from_numpy(numbered(4, first=2000).rows))
    draws = [torch.Generator().manual_seed(1) for _ in range(2)]
    first, second = (buffer.sample(64, 0.25, draw) for buffer, draw in zip((one, other), draws, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert torch.equal(one.rows[: one.size], other.rows[: other.size])
    assert torch.equal(one.since(appended), torch.from_numpy(numbered(4, first=2000).rows))


def test_the_layout_follows_the_environment() -> None:
    assert RowLayout.of(box_spaces(3, DiscreteSpec(5, 0))).width == 3 + 1 + 1 + 3 + 1 + 1
