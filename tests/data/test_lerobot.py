"""Folders in LeRobot's format."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from conftest import TINY, Cli, summary_of
from gymnasium.envs.classic_control.pendulum import PendulumEnv
from made_data import load

from rql.config.choices import Reward, SuccessOf
from rql.config.data import EnvConfig, LeRobotDatasetConfig
from rql.utils.errors import DataError

LENGTHS = (3, 4, 2)
SUCCESSES = (2, None, 0)
"""The step at which each episode succeeds."""


class Reporting(PendulumEnv):
    """A pendulum that says whether it succeeded."""

    def step(self, u: Any) -> Any:
        *rest, info = super().step(u)  # type: ignore[no-untyped-call]
        return *rest, info | {"is_success": False}


gymnasium.register("RQLTestReporting-v0", entry_point=lambda **_: Reporting(), max_episode_steps=200)
Edit = Callable[[dict[str, Any], dict[str, Any]], None]


def write(root: Path, version: str = "v3.0", edit: Edit = lambda info, columns: None) -> Path:
    """Three episodes: one that ends in its success, one without success, and one that goes on after it."""
    rng, count = np.random.default_rng(0), sum(LENGTHS)
    columns: dict[str, Any] = {
        "observation.state": rng.normal(size=(count, 2)).astype(np.float32),
        "observation.environment_state": rng.normal(size=(count, 1)).astype(np.float32),
        "action": rng.uniform(-2.0, 2.0, (count, 1)).astype(np.float32),
        "next.reward": np.arange(count, dtype=np.float32),
        "next.success": np.concatenate([np.arange(n) == s for n, s in zip(LENGTHS, SUCCESSES, strict=True)]),
        "next.done": np.concatenate([np.arange(n) == n - 1 for n in LENGTHS]),
        "episode_index": np.repeat(np.arange(3), LENGTHS),
        "frame_index": np.concatenate([np.arange(n) for n in LENGTHS]),
    }
    features = {name: {"dtype": str(column.dtype), "shape": [1]} for name, column in columns.items()}
    features["observation.images.top"] = {"dtype": "video", "shape": [4, 4, 3]}
    info = {"codebase_version": version, "total_frames": count, "features": features}
    edit(info, columns)
    path = root / "some_robot"
    (path / "meta").mkdir(parents=True)
    (path / "data/chunk-000").mkdir(parents=True)
    (path / "meta/info.json").write_text(json.dumps(info))
    each = np.split(np.arange(len(columns["episode_index"])), np.cumsum(LENGTHS)[:-1])
    # v2 has a file for each episode; of v3 an episode may lie across two files
    files = each if version.startswith("v2") else [np.concatenate(each)[:5], np.concatenate(each)[5:]]
    for number, rows in enumerate(files):
        table = {name: pyarrow.array(list(column[rows])) for name, column in columns.items()}
        name = f"episode_{number:06d}" if version.startswith("v2") else f"file-{number:03d}"
        pyarrow.parquet.write_table(pyarrow.table(table), path / f"data/chunk-000/{name}.parquet")
    return path


@pytest.mark.parametrize("version", ["v2.1", "v3.0"])
def test_an_episode_ends_at_its_first_success_or_is_cut_off(version: str, data_root: Path) -> None:
    path = write(data_root, version)
    data = load(LeRobotDatasetConfig(path=str(path)))[0]
    assert data.lengths.tolist() == [3, 3, 1]  # the last step of the second has no successor
    assert data.terminated.tolist() == [False, False, True, False, False, False, True]
    assert data.truncated.tolist() == [False] * 5 + [True, False]
    assert data.reward.tolist() == [0, 1, 2, 3, 4, 5, 7]
    tables = [pyarrow.parquet.read_table(file) for file in sorted(path.glob("data/*/*"))]
    table = pyarrow.concat_tables(tables)
    keys = ("observation.state", "observation.environment_state")
    both = np.concatenate([np.stack(table[key].to_pylist()) for key in keys], axis=1)
    assert np.allclose(data.obs[3:6], both[3:6]) and np.allclose(data.next_obs[3:6], both[4:7])
    assert np.allclose(data.action[:3, 0] * 2.0, np.concatenate(table["action"].to_pylist())[:3])


def test_without_rewards_and_success_the_end_of_each_episode_is_one(data_root: Path) -> None:
    def without(info: dict[str, Any], columns: dict[str, Any]) -> None:
        for key in ("next.reward", "next.success", "next.done"):
            del info["features"][key], columns[key]

    path, env = write(data_root, edit=without), EnvConfig("RQLTestReporting-v0", reward=Reward.success)
    config = LeRobotDatasetConfig(path=str(path), success=SuccessOf.last_step)
    data = load(config, env)[0]
    assert data.lengths.tolist() == [2, 3, 1] and data.reward.tolist() == [0, 1, 0, 0, 1, 1]
    assert data.terminated.tolist() == [False, True, False, False, True, True]
    with pytest.raises(DataError, match=r"has no next\.reward; it has"):
        load(config)


def test_it_trains(data_root: Path, cli: Cli) -> None:
    tiny = [override for override in TINY if not override.startswith("dataset.")]
    summary = summary_of(cli(*tiny, "batch_size=4", "dataset=lerobot", f"dataset.path={write(data_root)}"))
    assert np.isfinite(summary["online/return"])


def _drop(key: str) -> Edit:
    def edit(info: dict[str, Any], columns: dict[str, Any]) -> None:
        del info["features"][key], columns[key]

    return edit


def _set(key: str, row: Any, value: Any) -> Edit:
    return lambda info, columns: columns[key].__setitem__(row, value)


@pytest.mark.parametrize(
    ("edit", "observations", "said"),
    [
        (_drop("action"), None, "has no action; it has"),
        (lambda info, columns: columns.pop("action"), None, "file-000.parquet cannot be read"),
        (_drop("observation.state"), ["observation.state"], "has no observation.state"),
        (lambda info, _: None, ["observation.images.top"], "observation.images.top is an image"),
        (lambda info, _: None, ["observation.state"], "have 2 numbers, the environment's 3"),
        (_set("frame_index", 4, 7), None, "the frames of episode 1 are not 0, 1, 2"),
        (_set("action", (4, 0), np.nan), None, "actions of episode 1"),
        (lambda info, _: info.update(total_frames=12), None, "there are 9 frames, and meta/info.json says 12"),
        (lambda info, _: info.update(codebase_version="v1.6"), None, "has LeRobot's format v1.6"),
        (lambda info, _: info.pop("features"), None, "meta/info.json is no description"),
    ],
)
def test_a_bad_folder_is_refused_with_its_place(
    edit: Edit, observations: list[str] | None, said: str, data_root: Path
) -> None:
    path = write(data_root, edit=edit)
    with pytest.raises(DataError) as error:
        load(LeRobotDatasetConfig(path=str(path), observations=observations))
    assert said in str(error.value) and str(path) in str(error.value)


def test_what_is_no_such_folder_or_is_damaged_is_refused(data_root: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere cannot be read: meta/info\.json"):
        load(LeRobotDatasetConfig(path=str(data_root / "nowhere")))
    path = write(data_root)
    (path / "data/chunk-000/file-001.parquet").write_bytes(b"no")
    with pytest.raises(DataError, match=r"data/chunk-000/file-001\.parquet cannot be read"):
        load(LeRobotDatasetConfig(path=str(path)))
