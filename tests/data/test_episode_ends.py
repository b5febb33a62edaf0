"""Where the episodes of a file end: flags, time limits of the environment, and observations that break off."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_data import EPISODES, Arrays, flat, load, write_hdf5, write_npz

from rql.commands.data import main as data_command
from rql.config.choices import Unfinished
from rql.config.data import D4RLDatasetConfig, EnvConfig
from rql.data.breaks import breaks
from rql.data.transitions import Transitions
from rql.envs.make import step_limit
from rql.utils.errors import DataError

CAR = EnvConfig(id="MountainCarContinuous-v0")
LENGTHS = [999, 999, 999, 110]


def drive(**changes: Any) -> Arrays:
    """Four episodes of 3,107 steps, of which the last alone has reached the goal."""
    ends = [(steps, steps < 999) for steps in LENGTHS]
    total, rng = sum(LENGTHS), np.random.default_rng(0)
    observations = rng.normal(size=(total, 2)).astype(np.float32)
    actions = rng.uniform(-1, 1, (total, 1))
    own = {"observations": observations, "actions": actions, "timeouts": None, "next_observations": None}
    return flat(ends, **(own | changes))


def read(folder: Path, arrays: Arrays, unfinished: str = "refuse", env: EnvConfig = CAR) -> Transitions:
    path = str(write_hdf5(folder / "log.hdf5", arrays))
    return load(D4RLDatasetConfig(path=path, unfinished=Unfinished[unfinished]), env)[0]


@pytest.mark.parametrize("unfinished", ["refuse", "truncate"])
@pytest.mark.parametrize("timeouts", [None, np.zeros(3107, np.bool_)], ids=["no timeouts", "none set"])
def test_without_time_outs_an_episode_ends_at_the_limit_of_the_environment(
    timeouts: Any, unfinished: str, data_root: Path
) -> None:
    arrays = drive(timeouts=timeouts)
    data = read(data_root, arrays, unfinished)
    assert data.lengths.tolist() == [998, 998, 998, 110]  # what followed the last step of the first three is unknown
    assert np.flatnonzero(data.truncated).tolist() == [997, 1995, 2993]
    assert np.flatnonzero(data.terminated).tolist() == [3103]
    kept = np.delete(np.arange(3107), [998, 1997, 2996])
    assert np.array_equal(data.obs, arrays["observations"][kept])


def test_a_limit_of_the_configuration_counts(data_root: Path) -> None:
    limited = EnvConfig(id=CAR.id, kwargs={"max_episode_steps": 2000})
    assert step_limit(CAR) == 999 and step_limit(limited) == 2000 and step_limit(EnvConfig(id="Blackjack-v1")) is None
    assert read(data_root, drive(), env=limited).lengths.tolist() == [1999, 1107]


def test_with_next_observations_no_step_is_left_out_and_breaks_count_as_time_outs(data_root: Path) -> None:
    arrays = drive()
    following = np.roll(arrays["observations"], -1, axis=0)
    ends = np.cumsum([500, 999, 999, 499, 110]) - 1  # the first was cut off by hand
    following[ends] += 1.0
    data = read(data_root, arrays | {"next_observations": following})
    assert data.lengths.tolist() == [500, 999, 999, 499, 110]
    assert np.flatnonzero(data.truncated).tolist() == ends[:4].tolist()
    assert np.array_equal(data.next_obs, following)


def test_an_unfinished_episode_is_not_cut_off_beyond_the_limit(data_root: Path) -> None:
    arrays = drive(timeouts=np.arange(3107) == 998)
    arrays["terminals"][:] = False
    with pytest.raises(DataError, match=r"episode 1 .* after 2,107 steps.*ends an episode after 999 steps"):
        read(data_root, arrays, "truncate")


def test_a_time_out_beyond_the_limit_is_believed_and_said(data_root: Path, caplog: Any) -> None:
    arrays = drive(timeouts=np.arange(3107) == 1999)
    with caplog.at_level(logging.WARNING):
        assert read(data_root, arrays).lengths.tolist() == [1999, 1107]
    assert "lasts 1,999 steps, and MountainCarContinuous-v0 ends one after 999" in caplog.text


@pytest.mark.parametrize(("unfinished", "lengths"), [("truncate", [3, 2, 4, 1, 6]), ("drop", [2, 4, 1, 6])])
def test_observations_that_break_off_without_a_flag_end_an_episode(
    unfinished: str, lengths: list[int], data_root: Path
) -> None:
    arrays = flat(EPISODES)
    arrays["next_observations"][2] = 9.0
    pendulum = EnvConfig(id="Pendulum-v1")
    with pytest.raises(DataError, match=r"episode 0 has no end flag at its step 2, after 3 steps, where the next"):
        read(data_root, arrays, env=pendulum)
    data = read(data_root, arrays, unfinished, pendulum)
    assert data.lengths.tolist() == lengths
    returns = np.add.reduceat(arrays["rewards"], np.cumsum([0, 3, 2, 4, 1])).astype(np.float64)
    assert np.allclose(data.returns(), returns[-len(lengths) :], atol=1e-5)


@pytest.mark.parametrize("by", [1, -1])
@pytest.mark.parametrize("unfinished", ["refuse", "truncate"])
def test_flags_beside_the_breaks_are_refused_with_their_places(
    by: int, unfinished: str, data_root: Path, capsys: Any
) -> None:
    arrays = flat([(5, False), (4, True), (3, True), (6, False)])
    for flag in ("terminals", "timeouts"):
        arrays[flag] = np.roll(arrays[flag], by)
    with pytest.raises(DataError, match=r"log\.hdf5: next_observations break off at step 4, 8, 11"):
        read(data_root, arrays, unfinished, EnvConfig(id="Pendulum-v1"))
    path = str(write_npz(data_root / "log.npz", arrays))
    assert data_command(["verify", path, "--env", "Pendulum-v1", "--unfinished", unfinished]) == 1
    assert "break off at step 4, 8, 11" in capsys.readouterr().out


def test_the_command_knows_the_limit_of_the_environment_that_is_named(data_root: Path, capsys: Any) -> None:
    path = str(write_npz(data_root / "log.npz", drive()))
    assert data_command(["info", path, "--env", CAR.id]) == 0
    assert "4, of 776.0 steps (110 to 998)" in capsys.readouterr().out
    assert data_command(["verify", path]) == 0
    assert "the time limit of an environment" in capsys.readouterr().out.replace("\n", " ")


def test_rounding_and_numbers_that_are_none_break_nothing_off() -> None:
    obs = np.random.default_rng(0).normal(size=(10, 2))
    following = np.roll(obs, -1, axis=0)
    following[3, 0] = np.nan
    expected = np.arange(10) == 9
    assert np.array_equal(breaks(obs, following.astype(np.float32)), expected)
    following[5, 1] += 1e-3
    assert np.flatnonzero(breaks(obs, following)).tolist() == [5, 9]
    numbers = np.arange(5, dtype=np.uint8)
    assert np.flatnonzero(breaks(numbers, np.array([1, 2, 0, 4, 5], np.uint8))).tolist() == [2, 4]
    films = np.arange(6, dtype=np.uint8)[:, None] * np.ones((6, 2**19 + 1), np.uint8)  # are compared one by one
    assert np.flatnonzero(breaks(films, np.append(films[1:3], films[:4], axis=0))).tolist() == [2, 3, 4, 5]
