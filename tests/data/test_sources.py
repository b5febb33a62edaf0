"""Data sets wherever they lie: what is read, and that it is the same from everywhere."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TINY, Cli, episode, metrics_of, write_minari
from made_data import BOX, EPISODES, TORQUE, as_minari, flat, load, read, torques, write_hdf5, write_npz

from rql.config.data import (
    D4RLDatasetConfig,
    EnvConfig,
    MinariDatasetConfig,
)
from rql.data.load import open_source
from rql.data.reference_scores import reference_score
from rql.data.sources.demo import demo_dataset
from rql.data.transitions import Reference
from rql.utils.errors import DataError


def test_episodes_become_flat_transitions_with_their_own_last_observations(data_root: Path) -> None:
    long = episode(5, 3, torques(5, -2.0))
    short = episode(2, 3, torques(2, 0.5), terminations=[False, True], truncations=[False, False])
    data = read(data_root, long, short)
    assert len(data) == 7 and data.starts.tolist() == [0, 5] and data.ends.tolist() == [5, 7]
    assert np.array_equal(data.obs, np.concatenate([long.observations[:-1], short.observations[:-1]]))
    assert np.array_equal(data.next_obs, np.concatenate([long.observations[1:], short.observations[1:]]))
    assert data.action.ravel().tolist() == [-1.0] * 5 + [0.25] * 2
    assert data.terminated.tolist() == [False] * 6 + [True]
    assert data.truncated.tolist() == [False] * 4 + [True, False, False]
    assert data.returns() == pytest.approx([sum(long.rewards), sum(short.rewards)], rel=1e-5)


@pytest.mark.parametrize("format", ["hdf5", "arrow"])
def test_both_formats_of_minari_are_read(format: str, data_root: Path) -> None:
    from minari.dataset.minari_storage import MinariStorage

    path = data_root / "test/set-v0/data"
    path.parent.mkdir(parents=True)
    storage = MinariStorage.new(path, observation_space=BOX, action_space=TORQUE, data_format=format)
    storage.update_metadata({"dataset_id": "test/set-v0", "minari_version": "0.5.3"})
    storage.update_episodes([episode(5, 3, torques(5), id=0), episode(4, 3, torques(4), id=1)])
    data = load(MinariDatasetConfig(id="test/set-v0"))[0]
    assert data.starts.tolist() == [0, 5] and np.array_equal(data.next_obs[5:8], data.obs[6:9])


def test_the_same_transitions_from_every_source_train_to_the_same_numbers(data_root: Path, cli: Cli) -> None:
    arrays = flat([(20, False), (15, True), (25, False)])
    as_minari(data_root, arrays)
    places = [
        ["dataset=minari", "dataset.id=test/same-v0"],
        ["dataset=d4rl", f"dataset.path={write_hdf5(data_root / 'same.hdf5', arrays)}"],
        ["dataset=d4rl", f"dataset.path={write_hdf5(data_root / 'zipped.hdf5', arrays, compression='gzip')}"],
        ["dataset=npz", f"dataset.path={write_npz(data_root / 'same.npz', arrays)}"],
    ]
    tiny = [override for override in TINY if "dataset" not in override]
    runs = []
    for index, place in enumerate(places):
        lines = metrics_of(cli(*tiny, *place, name=f"run{index}"))
        runs.append([{key: value for key, value in line.items() if key != "time"} for line in lines])
    assert runs[0][-1]["td_loss"] > 0 and runs[0] == runs[1] == runs[2] == runs[3]


def test_without_next_observations_a_timed_out_step_has_no_successor(data_root: Path) -> None:
    arrays = flat(EPISODES)
    whole = load(D4RLDatasetConfig(path=str(write_hdf5(data_root / "whole.hdf5", arrays))))[0]
    assert len(whole) == 16 and np.array_equal(whole.next_obs, arrays["next_observations"])
    del arrays["next_observations"]
    data = load(D4RLDatasetConfig(path=str(write_hdf5(data_root / "legacy.hdf5", arrays))))[0]
    kept = [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]
    assert np.array_equal(data.obs, arrays["observations"][kept]) and data.starts.tolist() == [0, 4, 8, 9]
    assert np.flatnonzero(data.truncated).tolist() == [3, 13] and np.flatnonzero(data.terminated).tolist() == [7, 8]
    inside = [0, 1, 2, 3, 4, 5, 6, 9, 10, 11, 12, 13]
    assert np.array_equal(data.next_obs[inside], whole.next_obs[np.array(kept)[inside]])


def test_an_old_file_has_no_timeouts_and_floating_flags(data_root: Path) -> None:
    arrays = flat([(5, True), (4, True)], timeouts=None)
    arrays["terminals"] = arrays["terminals"].astype(np.float64).reshape(-1, 1)
    data = load(D4RLDatasetConfig(path=str(write_hdf5(data_root / "old.hdf5", arrays))))[0]
    assert np.flatnonzero(data.terminated).tolist() == [4, 8] and not data.truncated.any()


@pytest.mark.parametrize(("unfinished", "episodes", "truncated"), [("truncate", 2, [4, 7]), ("drop", 1, [4])])
def test_an_episode_without_an_end_flag_is_kept_or_left_out_as_told(
    unfinished: str, episodes: int, truncated: list[int], data_root: Path
) -> None:
    from rql.config.choices import Unfinished

    arrays = flat([(5, False), (4, False)], next_observations=None)
    arrays["timeouts"][8] = False
    path = str(write_npz(data_root / "open.npz", arrays))
    data = load(D4RLDatasetConfig(path=path, unfinished=Unfinished[unfinished]))[0]
    ends = [end - 1 for end in truncated]
    assert len(data.starts) == episodes and np.flatnonzero(data.truncated).tolist() == [end for end in ends]


def test_the_environment_may_come_from_the_data_set(data_root: Path, cli: Cli) -> None:
    id, _ = demo_dataset(EnvConfig(id="Pendulum-v1", kwargs={"g": 5.0}), 4, 0)
    tiny = [override for override in TINY if not override.startswith(("dataset.", "++env."))]
    directory = cli(*tiny, "env=from_dataset", "dataset=minari", f"dataset.id={id}")
    recorded = (directory / "config.yaml").read_text()
    assert "id: Pendulum-v1" in recorded and "g: 5.0" in recorded and "max_episode_steps: 200" in recorded


def test_a_data_set_that_names_no_environment_cannot_give_one(data_root: Path, cli: Cli, capsys: Any) -> None:
    write_minari(data_root, "test/set-v0", [episode(9, 3, torques(9))], BOX, TORQUE)
    with pytest.raises(SystemExit):
        cli("env=from_dataset", "dataset=minari", "dataset.id=test/set-v0")
    assert "test/set-v0" in capsys.readouterr().err


def test_actions_that_are_no_whole_numbers_are_refused_where_those_are_needed(data_root: Path) -> None:
    arrays = flat([(6, True)], observations=np.zeros((6, 4)), next_observations=np.zeros((6, 4)))
    arrays["actions"] = np.array([0, 1, 0.5, 1, 0, 2])
    path = str(write_npz(data_root / "cart.npz", arrays))
    with pytest.raises(
        DataError, match=r"actions of episode 0 are outside .* 0 to 1, in 2 of 6 steps, first at step 2"
    ):
        load(D4RLDatasetConfig(path=path), EnvConfig(id="CartPole-v1"))


@pytest.mark.parametrize(
    ("name", "env", "task"),
    [
        ("hopper-medium-v2", "x", (-20.272305, 3234.3)),
        ("D4RL/hopper/medium-v2", "x", (-20.272305, 3234.3)),
        ("mujoco/ant/expert-v0", "x", (-325.6, 3879.7)),
        ("antmaze-umaze-diverse-v2", "x", (0.0, 1.0)),
        ("D4RL/antmaze/large-play-v1", "x", (0.0, 1.0)),
        ("maze2d-medium-v1", "x", (13.13, 277.39)),
        ("D4RL/pointmaze/large-dense-v2", "x", (30.569041, 303.4857382709002)),
        ("pen-human-v1", "x", (96.262799, 3076.8331017826877)),
        ("kitchen-mixed-v0", "x", (0.0, 4.0)),
        ("mine", "Hopper-v4", (-20.272305, 3234.3)),
        ("mine", "Walker2d-v5", (1.629008, 4592.3)),
        (None, "PointMaze_UMaze-v3", (23.85, 161.86)),
        (None, "PointMaze_Medium_Diverse_GDense-v3", (44.264742, 297.4552547777125)),
        (None, "AntMaze_Large_Diverse_GR-v4", (0.0, 1.0)),
        (None, "AdroitHandRelocateSparse-v1", (-6.425911, 4233.877797728884)),
        (None, "FrankaKitchen-v1", (0.0, 4.0)),
        (None, "Pendulum-v1", None),
        ("rql/pendulum/medium-v0", "Pendulum-v1", None),
        ("door-log", "Pendulum-v1", None),
        ("hopper-medium-v2", "Walker2d-v5", (1.629008, 4592.3)),
    ],
)
def test_the_data_set_or_the_environment_says_which_reference_scores_hold(
    name: str | None, env: str, task: tuple[float, float] | None
) -> None:
    assert reference_score(name, env) == (Reference(*task) if task else None)


def test_a_name_is_a_file_or_a_minari_id(data_root: Path) -> None:
    assert open_source(str(write_npz(data_root / "a.npz", flat(EPISODES))), False).name == "a"
    with pytest.raises(DataError, match="no Minari id"):
        open_source("a.csv", False)
