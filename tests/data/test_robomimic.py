"""Demonstrations in robomimic's HDF5 format."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from conftest import TINY, Cli, summary_of
from made_data import load

from rql.config.choices import Unfinished
from rql.config.data import RobomimicDatasetConfig
from rql.utils.errors import DataError

DONES = {"demo_2": [0, 0, 1, 1], "demo_10": [0, 0, 0], "demo_1": [0, 1]}


@pytest.fixture
def file(data_root: Path) -> Path:
    """A demonstration that stays where it succeeded, one that ends in its success, and one without success."""
    path, rng = data_root / "low_dim.hdf5", np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        for name, dones in DONES.items():
            group, steps = file.create_group(f"data/{name}"), len(dones)
            group["actions"] = rng.uniform(-2.0, 2.0, (steps, 1))
            group["rewards"], group["dones"] = np.array(dones, float), np.array(dones)
            group["obs/place"], group["obs/door"] = rng.normal(size=(steps, 2)), rng.normal(size=(steps, 1))
            group["obs/image"] = np.zeros((steps, 4, 4, 3), np.uint8)
    return path


def change(path: Path, edit: Callable[[Any], None]) -> Path:
    with h5py.File(path, "r+") as file:
        edit(file)
    return path


def side_by_side(path: Path, name: str, *keys: str) -> Any:
    with h5py.File(path) as file:
        return np.concatenate([file[f"data/{name}/obs/{key}"][()] for key in keys], axis=1)


def test_a_demonstration_ends_at_its_first_done_or_is_cut_off(file: Path) -> None:
    data = load(RobomimicDatasetConfig(path=str(file)))[0]
    assert data.lengths.tolist() == [2, 3, 2]  # by number; the last step of the third has no successor
    assert data.terminated.tolist() == [False, True, False, False, True, False, False]
    assert data.truncated.tolist() == [False] * 6 + [True]
    assert data.reward.tolist() == [0, 1, 0, 0, 1, 0, 0]
    assert np.allclose(data.obs[:2], side_by_side(file, "demo_1", "door", "place"))
    third = side_by_side(file, "demo_10", "door", "place")
    assert np.allclose(data.obs[5:], third[:2]) and np.allclose(data.next_obs[5:], third[1:])


def test_recorded_next_observations_leave_no_step_out_and_keys_may_be_chosen(file: Path) -> None:
    def add(content: Any) -> None:
        for name, dones in DONES.items():
            for key, width in (("place", 2), ("door", 1)):
                following = np.full((len(dones), width), 7.0)
                steps = dones.index(1) if any(dones) else len(dones) - 1
                following[:steps] = content[f"data/{name}/obs/{key}"][1 : steps + 1]
                content[f"data/{name}/next_obs/{key}"] = following

    data = load(RobomimicDatasetConfig(path=str(change(file, add)), observations=["place", "door"]))[0]
    assert data.lengths.tolist() == [2, 3, 3] and data.truncated.tolist() == [False] * 7 + [True]
    assert np.allclose(data.obs[5:], side_by_side(file, "demo_10", "place", "door"))
    assert (data.next_obs[[1, 4, 7]] == 7.0).all()
    other = load(RobomimicDatasetConfig(path=str(file), observations=["door", "place"]))[0]
    assert np.allclose(other.obs[5:], side_by_side(file, "demo_10", "door", "place"))  # the cache knows the order


def test_it_trains(file: Path, cli: Cli) -> None:
    tiny = [override for override in TINY if not override.startswith("dataset.")]
    summary = summary_of(cli(*tiny, "batch_size=4", "dataset=robomimic", f"dataset.path={file}"))
    assert np.isfinite(summary["online/return"])


def _delete(key: str) -> Callable[[Any], None]:
    return lambda file: file.__delitem__(key)


@pytest.mark.parametrize(
    ("edit", "observations", "said"),
    [
        (_delete("data"), None, "has no demonstrations"),
        (_delete("data/demo_2/actions"), None, "demo_2 has no actions"),
        (_delete("data/demo_2/obs"), None, "demo_2 has no obs"),
        (_delete("data/demo_2/obs/door"), ["door"], "demo_2 has no observation door; it has image, place"),
        (_delete("data/demo_1/dones"), None, "demo_1 has no dones"),
        (
            lambda file: (_delete("data/demo_2/rewards")(file), file.create_dataset("data/demo_2/rewards", (7,))),
            None,
            "demo_2 has columns of [4, 7] steps",
        ),
        (lambda _: None, ["place", "image"], "observation image is an image; env.flatten_images=true"),
        (lambda _: None, ["place"], "have 2 numbers, the environment's 3"),
        (lambda file: file["data/demo_2/actions"].__setitem__((1, 0), np.nan), None, "actions of episode 1"),
    ],
)
def test_a_bad_file_is_refused_with_its_place(
    edit: Callable[[Any], None], observations: list[str] | None, said: str, file: Path
) -> None:
    path = change(file, edit)
    with pytest.raises(DataError) as error:
        load(RobomimicDatasetConfig(path=str(path), observations=observations, unfinished=Unfinished.refuse))
    assert said in str(error.value) and str(path) in str(error.value)


def test_what_is_no_hdf5_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.hdf5").write_text("no")
    for name in ("none.hdf5", "text.hdf5"):
        with pytest.raises(DataError, match=f"data set .*{name} cannot be read"):
            load(RobomimicDatasetConfig(path=str(tmp_path / name)))
