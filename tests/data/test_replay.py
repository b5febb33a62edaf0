"""The replay buffer: what it keeps, and batches drawn from it."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from conftest import box_spaces
from made_data import (
    CPU,
    ENDED,
    LENGTHS,
    UNIT,
    as_rows,
    assert_same_transitions,
    brute_force,
    numbered,
    seeded,
    wandering,
)

from rql.data.batch import Draw
from rql.data.columns import Field, collected_fields
from rql.data.dataset import Dataset
from rql.data.replay import EnvStep, ReplayBuffer
from rql.data.sampling import Mixture
from rql.data.transitions import Transitions
from rql.utils.errors import RQLError

FIELDS = collected_fields(box_spaces(2, UNIT))


def steps_of(sets: list[Transitions]) -> Iterator[EnvStep]:
    """Environments that play a data set each, side by side."""
    for t in range(len(sets[0])):
        columns = {
            name: np.stack([getattr(one, name)[t] for one in sets])
            for name in ("obs", "action", "reward", "terminated")
        }
        ended = np.array([one.terminated[t] or one.truncated[t] for one in sets])
        yield EnvStep(columns, {"obs": np.stack([one.next_obs[t] for one in sets])}, ended)


@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize("n", [1, 2, 3, 10])
def test_n_steps_collected_online_are_those_of_a_data_set(n: int, num_envs: int) -> None:
    """Each environment plays a data set; what can be drawn from a ring that wraps around is the newest of it."""
    sets = [wandering(LENGTHS, ENDED, seed) for seed in range(num_envs)]
    expected = np.stack([brute_force(one, n, 0.9) for one in sets], axis=1).reshape(-1, 8)
    for capacity in (1000, 10 * num_envs):
        replay = ReplayBuffer(FIELDS, capacity, num_envs, n, CPU)
        for step in steps_of(sets):
            replay.append(step)
        assert replay.whole == num_envs * sum(LENGTHS)
        drawn = replay.sample(2000, seeded(0), Draw(n, 0.9))
        assert_same_transitions(as_rows(drawn), expected[-capacity:])


@pytest.mark.parametrize("n", [1, 3])
def test_a_transition_can_be_drawn_once_its_steps_are_made(n: int) -> None:
    """As a buffer does that stores transitions in the order in which they become whole, over the oldest ones."""
    data, capacity = wandering([9, 2, 30], [True, False, True], seed=1), 8
    whole, stored, ring = brute_force(data, n, 0.9), 0, np.zeros((capacity, 8), np.float32)
    ends = np.repeat(data.ends, data.lengths)
    replay = ReplayBuffer(FIELDS, capacity, 1, n, CPU)
    for t, step in enumerate(steps_of([data])):
        replay.append(step)
        while stored <= t and (min(stored + n, ends[stored]) <= t + 1):
            ring[stored % capacity] = whole[stored]
            stored += 1
        assert (replay.whole, replay.size) == (stored, min(stored, capacity))
        if stored:
            index = torch.randint(replay.size, (50,), generator=seeded(t)).numpy()
            drawn = torch.cat([part.reshape(50, -1) for part in replay.sample(50, seeded(t), Draw(n, 0.9))[:6]], dim=1)
            assert np.allclose(drawn.numpy(), ring[index], atol=1e-6)


def test_episodes_that_are_cut_end_there_as_if_truncated() -> None:
    data = wandering([6, 6], [False, False], seed=0)
    replay = ReplayBuffer(FIELDS, 100, 1, 3, CPU)
    for t, step in enumerate(steps_of([data])):
        replay.append(step._replace(ended=np.array([False])))
        if t == 5:
            assert replay.whole == 4
            replay.cut()
            assert replay.whole == 6
    replay.cut()
    assert_same_transitions(as_rows(replay.sample(1000, seeded(0), Draw(3, 0.9))), brute_force(data, 3, 0.9))


def test_a_buffer_of_short_episodes_has_room_for_their_last_observations() -> None:
    data = wandering([1] * 200, [True] * 200, seed=0)
    replay = ReplayBuffer(FIELDS, 128, 1, 1, CPU)
    for step in steps_of([data]):
        replay.append(step)
    assert_same_transitions(as_rows(replay.sample(5000, seeded(0), Draw())), brute_force(data, 1, 1.0)[-128:])


@pytest.mark.parametrize("discrete", [True, False])
def test_a_batch_keeps_the_fields_of_a_transition_together(discrete: bool) -> None:
    batch = Dataset(numbered(100, discrete), CPU).sample(256, seeded(0), Draw())
    n = batch.reward
    assert len(set(n.tolist())) > 80
    assert torch.equal(batch.obs, torch.stack([n, n], 1)) and torch.equal(batch.next_obs, batch.obs + 0.5)
    assert torch.equal(batch.terminated, n % 2) and torch.equal(batch.steps, torch.ones(256))
    expected = (n % 3).long() if discrete else (n / 1000).unsqueeze(1)
    assert torch.equal(batch.action, expected) and batch.action.dtype == expected.dtype


def filled(capacity: int, appended: int, num_envs: int = 4, n_step: int = 1) -> ReplayBuffer:
    """A buffer of numbered transitions from 1000 on, in episodes of five steps."""
    replay = ReplayBuffer(FIELDS, capacity, num_envs, n_step, CPU)
    for first in range(1000, 1000 + appended, num_envs):
        replay.append(numbered_step(first, num_envs))
    return replay


def numbered_step(first: int, num_envs: int = 4) -> EnvStep:
    n = np.arange(first, first + num_envs, dtype=np.float32)
    columns = {"obs": np.stack([n, n], 1), "action": n[:, None] / 5000, "reward": n, "terminated": n % 2 == 1}
    return EnvStep(columns, {"obs": np.stack([n, n], 1) + num_envs}, np.full(num_envs, first // num_envs % 5 == 4))


def test_the_replay_buffer_keeps_the_newest_and_a_mixture_has_the_share_it_is_told() -> None:
    replay, draws, offline = filled(10, 24), seeded(0), Dataset(numbered(50), CPU)
    online = replay.sample(500, draws, Draw()).reward
    assert replay.size == 10 and set(online.tolist()) == set(range(1014, 1024))
    mixed = Mixture(offline, replay, 0.3).sample(100, draws, Draw()).reward
    assert int((mixed < 50).sum()) == 30
    assert bool((Mixture(offline, replay, 1.0).sample(100, draws, Draw()).reward < 50).all())
    assert bool((Mixture(None, replay, 0.5).sample(100, draws, Draw()).reward > 50).all())


def wide(count: int) -> Transitions:
    """An episode whose observations are images of bytes."""
    columns = {
        "obs": np.arange(count + 1, dtype=np.uint8)[:, None, None, None] * np.ones((64, 64, 3), np.uint8),
        "action": np.zeros((count + 1, 1), np.float32),
        "reward": np.arange(count + 1, dtype=np.float64),
        "terminated": np.zeros(count + 1, np.bool_),
        "truncated": np.arange(count + 1) == count,
    }
    return Transitions("images", columns, np.array([count]))


def test_a_column_of_bytes_costs_its_bytes_and_is_not_copied() -> None:
    data = wide(20)
    dataset = Dataset(data, CPU)
    assert dataset.rows.columns["obs"].ctypes.data == data.columns["obs"].ctypes.data
    assert dataset.rows.columns["obs"].nbytes == 21 * 64 * 64 * 3
    image = Field((64, 64, 3), np.dtype(np.uint8))
    replay = ReplayBuffer(FIELDS | {"obs": image}, 640, 1, 1, CPU)
    assert replay.rows.columns["obs"].nbytes <= (640 + 640 // 64 + 2) * 64 * 64 * 3
    batch = dataset.sample(8, seeded(0), Draw())
    assert batch.obs.shape == (8, 64 * 64 * 3) and batch.obs.dtype == torch.float32
    assert torch.equal(batch.obs[:, 0], batch.reward) and torch.equal(batch.next_obs[:, 5], batch.reward + 1.0)


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("num_envs", [1, 4])
@pytest.mark.parametrize("appended", [0, 4, 24, 48], ids=["empty", "part", "wrapped", "wrapped twice"])
def test_a_restored_buffer_draws_and_evicts_as_the_one_it_was_saved_from(appended: int, num_envs: int, n: int) -> None:
    one, other = filled(10, appended, num_envs, n), filled(10, 8, num_envs, n)
    if appended:
        other.restore(one.since(0), one.saved_state())
    else:
        other = filled(10, 0, num_envs, n)
    for number in range(5):
        for buffer in (one, other):
            buffer.append(numbered_step(2000 + number * num_envs, num_envs))
        assert one.whole == other.whole
        if one.size:
            draw = Draw(n, 0.9, horizon=2, needs=frozenset({"mc_return", "next_action"}))
            first, second = (buffer.sample(64, seeded(1), draw) for buffer in (one, other))
            assert all(torch.equal(a, b) for a, b in zip(first[:6], second[:6], strict=True))
            assert all(torch.equal(first.extra[name], second.extra[name]) for name in first.extra)
    ours, theirs = one.since(appended), other.since(appended)
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("source", ["data set", "replay"])
def test_what_lies_further_ahead_is_gathered_and_masked_at_the_end_of_an_episode(source: str) -> None:
    data = wandering(LENGTHS, ENDED, seed=0)
    sampler: Dataset | ReplayBuffer = Dataset(data, CPU)
    if source == "replay":
        sampler = ReplayBuffer(FIELDS, 100, 1, 2, CPU)
        for step in steps_of([data]):
            sampler.append(step)
    draw = Draw(2, 0.9, horizon=3, needs=frozenset({"mc_return", "next_action"}))
    batch = sampler.sample(300, seeded(0), draw)
    number = {tuple(obs): t for t, obs in enumerate(data.obs.tolist())}
    for row, obs in enumerate(batch.obs.tolist()):
        t = number[tuple(obs)]
        end = int(data.ends[np.searchsorted(data.ends, t, side="right")])
        mask = [float(t + i < end) for i in range(3)]
        assert batch.extra["action_mask"][row].tolist() == mask
        assert batch.action[row].tolist() == [float(data.action[t + i, 0]) if m else 0.0 for i, m in enumerate(mask)]
        assert batch.extra["next_action_mask"][row] == float(t + 2 < end)
        assert batch.extra["next_action"][row].tolist() == (data.action[t + 2].tolist() if t + 2 < end else [0.0])
        paid = sum(0.9**i * float(reward) for i, reward in enumerate(data.reward[t:end]))
        assert float(batch.extra["mc_return"][row]) == pytest.approx(paid, abs=1e-5)


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(RQLError, match="needs the column base_action, which is not there; there are obs, action"):
        Dataset(numbered(10), CPU).sample(4, seeded(0), Draw(needs=frozenset({"base_action"})))
