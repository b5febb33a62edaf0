"""Data sets that cannot be used are refused with their name and what is wrong."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium
import minari
import numpy as np
import pytest
from conftest import Cli, episode, write_minari
from gymnasium import spaces as gym_spaces
from made_data import (
    BOX,
    EPISODES,
    TORQUE,
    Arrays,
    flat,
    load,
    read,
    torques,
    write_hdf5,
    write_npz,
)

from rql.config.choices import OutsideActions
from rql.config.data import D4RLDatasetConfig, EnvConfig, MinariDatasetConfig
from rql.data.load import open_source
from rql.data.sources import minari as sources
from rql.data.sources.minari import open_minari
from rql.data.transitions import Reference
from rql.utils.errors import DataError


def nan_at(key: str, place: int) -> Callable[[Arrays], Arrays]:
    def change(arrays: Arrays) -> Arrays:
        array = arrays[key].copy()
        array[place] = np.nan
        return arrays | {key: array}

    return change


def replaced(**arrays: Any) -> Callable[[Arrays], Arrays]:
    return lambda old: {key: value for key, value in (old | arrays).items() if value is not None}


BAD_FILES: dict[str, tuple[Callable[[Arrays], Arrays], list[str]]] = {
    "missing key": (replaced(actions=None), ["no array actions", "observations, rewards, terminals"]),
    "nan": (nan_at("observations", 6), ["observations of episode 1", "not finite", "step 1"]),
    "nan in what follows": (nan_at("next_observations", 4), ["next observations of episode 0", "step 4"]),
    "infinite reward": (replaced(rewards=np.full(16, np.inf, np.float32)), ["rewards of episode 0", "5 of 5"]),
    "lengths": (replaced(rewards=np.zeros(15)), ["observations has shape (16, 3)", "15 rewards"]),
    "strings": (replaced(rewards=np.array([b"one"] * 16)), ["rewards", "dtype"]),
    "complex": (replaced(rewards=np.ones(16, np.complex64)), ["rewards", "complex64"]),
    "flags": (replaced(terminals=np.full(16, 3)), ["terminals of episode 0", "neither 0 nor 1"]),
    "nan as flags": (replaced(timeouts=np.full(16, np.nan)), ["timeouts holds something that is no number"]),
    "scalar": (replaced(terminals=np.array(True)), ["terminals has shape ()"]),
    "wide flags": (replaced(terminals=np.zeros((16, 2), np.bool_)), ["terminals has shape (16, 2)", "(16,) is needed"]),
    "empty, no next": (lambda old: {k: v[:0] for k, v in old.items() if "next" not in k}, ["no transitions"]),
    "empty": (lambda old: {key: value[:0] for key, value in old.items()}, ["no transitions"]),
    "no end": (replaced(timeouts=np.zeros(16, np.bool_)), ["episode 3", "no end flag", "dataset.unfinished=truncate"]),
    "actions": (replaced(actions=np.full((16, 1), 2.5)), ["actions of episode 0", "outside", "[-2.0] to [2.0]"]),
    "action width": (replaced(actions=np.zeros((16, 2))), ["actions of episode 0 have 2 numbers", "environment's 1"]),
    "obs width": (replaced(observations=np.zeros((16, 4))), ["observations of episode 0 have 4", "environment's 3"]),
}


@pytest.mark.parametrize("write", [write_hdf5, write_npz], ids=["d4rl", "npz"])
@pytest.mark.parametrize(("change", "named"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_refused_with_its_name_and_the_key_before_anything_is_written(
    change: Callable[[Arrays], Arrays], named: list[str], write: Any, data_root: Path
) -> None:
    suffix = ".hdf5" if write is write_hdf5 else ".npz"
    path = write(data_root / f"bad{suffix}", change(flat(EPISODES)))
    with pytest.raises(DataError) as error:
        load(D4RLDatasetConfig(path=str(path)))
    message = str(error.value)
    assert "\n" not in message
    for part in [*named, str(path)]:
        assert part in message
    assert not list((data_root / "cache/rql").glob("[!.]*")) and not list((data_root / "cache/rql").glob(".*.part"))


def test_a_run_on_a_bad_file_ends_in_one_sentence_and_leaves_nothing(data_root: Path, cli: Cli, capsys: Any) -> None:
    change, named = BAD_FILES["nan"]
    path = write_hdf5(data_root / "bad.hdf5", change(flat(EPISODES)))
    with pytest.raises(SystemExit) as stop:
        cli("dataset=d4rl", f"dataset.path={path}", "tracking=disabled")
    message = capsys.readouterr().err.strip()
    assert stop.value.code == 2 and message.startswith("error: ") and "\n" not in message
    assert all(part in message for part in [*named, str(path)])
    assert not (data_root / "run").exists() and not list((data_root / "cache/rql").glob("[!.]*"))


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _nonsense(path: Path) -> None:
    path.write_text("not a data set")


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


UNREADABLE: dict[str, Callable[[Path], None]] = {
    "truncated": _cut,
    "no HDF5": _nonsense,
    "empty file": _empty,
    "gone": Path.unlink,
    "a folder": _folder,
}


@pytest.mark.parametrize("suffix", [".hdf5", ".npz"])
@pytest.mark.parametrize("damage", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_refused_with_its_name(damage: Any, suffix: str, data_root: Path) -> None:
    path = data_root / f"set{suffix}"
    (write_hdf5 if suffix == ".hdf5" else write_npz)(path, flat(EPISODES))
    damage(path)
    with pytest.raises(DataError, match=f"set{suffix}"):
        load(D4RLDatasetConfig(path=str(path)))


def test_nothing_is_unpickled(data_root: Path) -> None:
    arrays = flat(EPISODES)
    np.savez(data_root / "set.npz", **{**arrays, "rewards": np.array([{}] * 16, dtype=object)})
    with pytest.raises(DataError, match=r"set\.npz.*allow_pickle"):
        load(D4RLDatasetConfig(path=str(data_root / "set.npz")))


@contextmanager
def without_privileges() -> Iterator[None]:
    """Root may read everything; anyone else is bound by permissions already."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.mark.parametrize("locked", ["file", "folder"])
def test_a_file_without_permission_is_refused(locked: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write_npz(Path(folder) / "set.npz", flat(EPISODES))
        path.chmod(0 if locked == "file" else 0o644)
        Path(folder).chmod(0o700 if locked == "folder" and os.geteuid() == 0 else 0o755)
        if locked == "folder" and os.geteuid():
            Path(folder).chmod(0)
        with without_privileges(), pytest.raises(DataError, match=r"set\.npz.*ermission denied"):
            list(open_source(str(path), False).episodes())
        Path(folder).chmod(0o700)


BAD_EPISODES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "nan": ({"observations": np.array([[0, 0, 0], [0, np.nan, 0], [0, 0, 0]], np.float32)}, ["observations", "step 1"]),
    "infinite reward": ({"rewards": [0.0, np.inf]}, ["rewards of episode 1", "not finite", "step 1"]),
    "action": ({"actions": torques(2, 3.0)}, ["actions of episode 1", "outside the action space", "2 of 2"]),
    "lengths": ({"rewards": [0.0]}, ["episode 1 has 1 rewards", "of shape (2,"]),
    "shape": ({"actions": np.zeros((2, 2), np.float32)}, ["actions of episode 1", "another shape"]),
    "type": ({"actions": np.array([["a"], ["b"]], dtype="S1")}, ["actions of episode 1", "type"]),
    "no end flag": ({"truncations": [False, False]}, ["episode 1", "neither terminations nor truncations"]),
}


@pytest.mark.parametrize(("changes", "named"), BAD_EPISODES.values(), ids=BAD_EPISODES)
def test_a_bad_minari_episode_is_refused_with_its_place(changes: Any, named: list[str], data_root: Path) -> None:
    with pytest.raises(DataError) as error:
        read(data_root, episode(2, 3, torques(2)), episode(2, 3, **({"actions": torques(2)} | changes)))
    for part in [*named, str(data_root), "test/set-v0"]:
        assert part in str(error.value)


@pytest.mark.parametrize("first", [2.002, -7.0])
def test_actions_outside_the_bounds_are_clipped_on_request_and_counted(
    first: float, data_root: Path, caplog: Any
) -> None:
    arrays = flat(EPISODES)
    arrays["actions"][[0, 7]] = [[first], [2.00001]]  # the second is rounding
    path = str(write_npz(data_root / "log.npz", arrays))
    with pytest.raises(
        DataError, match=r"actions of episode 0 .*\[-2\.0\] to \[2\.0\], which dataset\.actions=clip would"
    ):
        load(D4RLDatasetConfig(path=path))
    for _ in range(2):  # converted, and from the cache
        data = load(D4RLDatasetConfig(path=path, actions=OutsideActions.clip))[0]
        assert data.action[0].item() == np.sign(first) and np.allclose(data.action[1:], arrays["actions"][1:] / 2)
    assert caplog.text.count("log.npz: dataset.actions=clip clipped the actions of 1 of 16 steps") == 2


def test_choices_that_are_none_are_not_clipped(data_root: Path) -> None:
    arrays = flat([(6, True)], observations=np.zeros((6, 4)), next_observations=np.zeros((6, 4)))
    path = str(write_npz(data_root / "cart.npz", arrays | {"actions": np.array([0, 1, 2, 1, 0, 1])}))
    with pytest.raises(DataError, match=r"actions of episode 0 are outside .* 0 to 1, in 1 of 6 steps"):
        load(D4RLDatasetConfig(path=path, actions=OutsideActions.clip), EnvConfig(id="CartPole-v1"))


def test_an_empty_and_a_damaged_minari_set_are_refused(data_root: Path) -> None:
    with pytest.raises(DataError, match="no transitions"):
        read(data_root)
    path = write_minari(data_root, "test/cut-v0", [episode(50, 3, torques(50))], BOX, TORQUE)
    _cut(path / "main_data.hdf5")
    with pytest.raises(DataError, match=f"{path}.*cannot be read"):
        load(MinariDatasetConfig(id="test/cut-v0"))
    (path / "metadata.json").write_text("{")
    with pytest.raises(DataError, match=f"{path}.*cannot be read"):
        load(MinariDatasetConfig(id="test/cut-v0"))


@pytest.mark.parametrize(
    ("obs", "action"),
    [
        (gym_spaces.Box(-1, 1, (4,), np.float32), TORQUE),
        (BOX, gym_spaces.Discrete(2)),
        (BOX, gym_spaces.Box(-1, 1, (1,), np.float32)),
    ],
    ids=["observations", "kind of action", "bounds of action"],
)
def test_a_data_set_of_another_environment_is_refused_with_both_spaces(obs: Any, action: Any, data_root: Path) -> None:
    actions = np.zeros(2, np.int64) if isinstance(action, gym_spaces.Discrete) else torques(2)
    with pytest.raises(DataError) as error:
        read(data_root, episode(2, obs.shape[0], actions), action=action, obs=obs)
    env = gymnasium.make("Pendulum-v1")
    theirs, ours = (obs, env.observation_space) if obs != BOX else (action, env.action_space)
    assert str(theirs) in str(error.value) and str(ours) in str(error.value)


def test_a_missing_data_set_names_those_that_are_there(monkeypatch: Any, data_root: Path) -> None:
    write_minari(data_root, "there/set-v0", [episode(2, 3, torques(2))], BOX, TORQUE)

    def unreachable(id: str) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(sources, "check_network", lambda: None)
    monkeypatch.setattr(minari, "download_dataset", unreachable)
    with pytest.raises(DataError, match=r"not/there-v0 is not in .*there/set-v0.*no route to host"):
        open_minari("not/there-v0", True)
    with pytest.raises(DataError, match=r"there/set-v0.*dataset.download=true"):
        open_minari("not/there-v0", False)


def test_a_missing_data_set_is_fetched_and_opened(monkeypatch: Any, data_root: Path) -> None:
    remote = write_minari(data_root / "remote", "far/set-v0", [episode(2, 3, torques(2))], BOX, TORQUE)
    metadata = json.loads((remote / "metadata.json").read_text()) | {"ref_min_score": -10.0, "ref_max_score": 30.0}
    (remote / "metadata.json").write_text(json.dumps(metadata))
    monkeypatch.setattr(sources, "check_network", lambda: None)
    monkeypatch.setattr(minari, "download_dataset", lambda id: shutil.copytree(remote, data_root / id / "data"))
    data = load(MinariDatasetConfig(id="far/set-v0"))[0]
    assert len(data) == 2 and data.reference == Reference(-10.0, 30.0)
    assert Reference(-10.0, 30.0).score(0.0) == 25.0
