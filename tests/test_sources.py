"""Data sets wherever they lie: what is read, that it is the same from everywhere, and what is refused."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium
import h5py
import minari
import numpy as np
import pytest
from conftest import TINY, Cli, episode, metrics_of, write_minari
from gymnasium import spaces as gym_spaces

from rql.config.data import (
    BCDataConfig,
    DatasetConfig,
    DemoDatasetConfig,
    EnvConfig,
    FileDatasetConfig,
    MinariDatasetConfig,
    PartConfig,
    SubsetConfig,
)
from rql.data.demonstrators import CONTROLLERS
from rql.data.load import load_datasets, open_source
from rql.data.reference_scores import reference_score
from rql.data.sources.demo import demo_dataset
from rql.data.sources.minari import open_minari
from rql.data.transitions import Reference, Transitions
from rql.envs.make import inspect_env
from rql.utils.errors import DataError, RQLError

BOX = gym_spaces.Box(-np.inf, np.inf, (3,), np.float32)
PENDULUM = EnvConfig(id="Pendulum-v1")
TORQUE = gym_spaces.Box(-2.0, 2.0, (1,), np.float32)
Arrays = dict[str, Any]


def torques(steps: int, value: float = 1.0) -> Any:
    return np.full((steps, 1), value, dtype=np.float32)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def load(config: DatasetConfig, env_config: EnvConfig = PENDULUM) -> tuple[Transitions, Transitions]:
    spaces, env = inspect_env(env_config)
    with env:
        datasets = load_datasets(config, env_config, spaces, env)
    assert datasets is not None
    return datasets


def read(root: Path, *episodes: Any, action: Any = TORQUE, obs: Any = BOX) -> Transitions:
    write_minari(root, "test/set-v0", list(episodes), obs, action)
    return load(MinariDatasetConfig(id="test/set-v0"))[0]


def test_episodes_become_flat_transitions_with_their_own_last_observations(root: Path) -> None:
    long = episode(5, 3, torques(5, -2.0))
    short = episode(2, 3, torques(2, 0.5), terminations=[False, True], truncations=[False, False])
    data = read(root, long, short)
    assert len(data) == 7 and data.starts.tolist() == [0, 5] and data.ends.tolist() == [5, 7]
    assert np.array_equal(data.obs, np.concatenate([long.observations[:-1], short.observations[:-1]]))
    assert np.array_equal(data.next_obs, np.concatenate([long.observations[1:], short.observations[1:]]))
    assert data.action.ravel().tolist() == [-1.0] * 5 + [0.25] * 2
    assert data.terminated.tolist() == [False] * 6 + [True]
    assert data.truncated.tolist() == [False] * 4 + [True, False, False]
    assert data.returns() == pytest.approx([sum(long.rewards), sum(short.rewards)], rel=1e-5)


@pytest.mark.parametrize("format", ["hdf5", "arrow"])
def test_both_formats_of_minari_are_read(format: str, root: Path) -> None:
    from minari.dataset.minari_storage import MinariStorage

    path = root / "test/set-v0/data"
    path.parent.mkdir(parents=True)
    storage = MinariStorage.new(path, observation_space=BOX, action_space=TORQUE, data_format=format)
    storage.update_metadata({"dataset_id": "test/set-v0", "minari_version": "0.5.3"})
    storage.update_episodes([episode(5, 3, torques(5), id=0), episode(4, 3, torques(4), id=1)])
    data = load(MinariDatasetConfig(id="test/set-v0"))[0]
    assert data.starts.tolist() == [0, 5] and np.array_equal(data.next_obs[5:8], data.obs[6:9])


def flat(episodes: list[tuple[int, bool]], **changes: Any) -> Arrays:
    """D4RL's arrays of episodes (steps, terminated or timed out), with the observations that follow."""
    rng, total = np.random.default_rng(0), sum(steps for steps, _ in episodes)
    ends = np.cumsum([steps for steps, _ in episodes]) - 1
    terminals, timeouts = np.zeros(total, np.bool_), np.zeros(total, np.bool_)
    for end, (_, terminated) in zip(ends, episodes, strict=True):
        (terminals if terminated else timeouts)[end] = True
    observations = rng.normal(size=(total, 3)).astype(np.float32)
    following = np.roll(observations, -1, axis=0)
    following[ends] = rng.normal(size=(len(ends), 3))
    arrays = {
        "observations": observations,
        "actions": rng.uniform(-2, 2, (total, 1)).astype(np.float32),
        "rewards": rng.normal(size=total).astype(np.float32),
        "terminals": terminals,
        "timeouts": timeouts,
        "next_observations": following,
    }
    merged = arrays | changes
    return {key: value for key, value in merged.items() if value is not None}


def write_hdf5(path: Path, arrays: Arrays, **options: Any) -> Path:
    with h5py.File(path, "w") as file:
        for key, array in arrays.items():
            file.create_dataset(key, data=array, **options)
        file.create_dataset("infos/qpos", data=np.zeros((3, 2)))
        file.create_dataset("metadata/algorithm", data="SAC")
    return path


def write_npz(path: Path, arrays: Arrays) -> Path:
    np.savez_compressed(path, **arrays)
    return path


EPISODES = [(5, False), (4, True), (1, True), (6, False)]


def as_minari(root: Path, arrays: Arrays) -> None:
    ends = np.flatnonzero(arrays["terminals"] | arrays["timeouts"]) + 1
    episodes = []
    for start, stop in zip([0, *ends[:-1]], ends, strict=True):
        steps = slice(start, stop)
        observations = np.concatenate([arrays["observations"][steps], arrays["next_observations"][stop - 1 : stop]])
        flags = {"terminations": arrays["terminals"][steps], "truncations": arrays["timeouts"][steps]}
        rewards = arrays["rewards"][steps]
        actions = arrays["actions"][steps]
        episodes.append(episode(stop - start, 3, actions, observations=observations, rewards=rewards, **flags))
    write_minari(root, "test/same-v0", episodes, BOX, TORQUE)


def test_the_same_transitions_from_every_source_train_to_the_same_numbers(root: Path, cli: Cli) -> None:
    arrays = flat([(20, False), (15, True), (25, False)])
    as_minari(root, arrays)
    places = [
        ["dataset=minari", "dataset.id=test/same-v0"],
        ["dataset=d4rl", f"dataset.path={write_hdf5(root / 'same.hdf5', arrays)}"],
        ["dataset=d4rl", f"dataset.path={write_hdf5(root / 'zipped.hdf5', arrays, compression='gzip')}"],
        ["dataset=npz", f"dataset.path={write_npz(root / 'same.npz', arrays)}"],
    ]
    tiny = [override for override in TINY if "dataset" not in override]
    runs = []
    for index, place in enumerate(places):
        lines = metrics_of(cli(*tiny, *place, name=f"run{index}"))
        runs.append([{key: value for key, value in line.items() if key != "time"} for line in lines])
    assert runs[0][-1]["td_loss"] > 0 and runs[0] == runs[1] == runs[2] == runs[3]


def test_without_next_observations_a_timed_out_step_has_no_successor(root: Path) -> None:
    arrays = flat(EPISODES)
    whole = load(FileDatasetConfig(path=str(write_hdf5(root / "whole.hdf5", arrays))))[0]
    assert len(whole) == 16 and np.array_equal(whole.next_obs, arrays["next_observations"])
    del arrays["next_observations"]
    data = load(FileDatasetConfig(path=str(write_hdf5(root / "legacy.hdf5", arrays))))[0]
    kept = [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]
    assert np.array_equal(data.obs, arrays["observations"][kept]) and data.starts.tolist() == [0, 4, 8, 9]
    assert np.flatnonzero(data.truncated).tolist() == [3, 13] and np.flatnonzero(data.terminated).tolist() == [7, 8]
    inside = [0, 1, 2, 3, 4, 5, 6, 9, 10, 11, 12, 13]
    assert np.array_equal(data.next_obs[inside], whole.next_obs[np.array(kept)[inside]])


def test_an_old_file_has_no_timeouts_and_floating_flags(root: Path) -> None:
    arrays = flat([(5, True), (4, True)], timeouts=None)
    arrays["terminals"] = arrays["terminals"].astype(np.float64).reshape(-1, 1)
    data = load(FileDatasetConfig(path=str(write_hdf5(root / "old.hdf5", arrays))))[0]
    assert np.flatnonzero(data.terminated).tolist() == [4, 8] and not data.truncated.any()


@pytest.mark.parametrize(("unfinished", "episodes", "truncated"), [("truncate", 2, [4, 7]), ("drop", 1, [4])])
def test_an_episode_without_an_end_flag_is_kept_or_left_out_as_told(
    unfinished: str, episodes: int, truncated: list[int], root: Path
) -> None:
    from rql.config.choices import Unfinished

    arrays = flat([(5, False), (4, False)], next_observations=None)
    arrays["timeouts"][8] = False
    path = str(write_npz(root / "open.npz", arrays))
    data = load(FileDatasetConfig(path=path, unfinished=Unfinished[unfinished]))[0]
    ends = [end - 1 for end in truncated]
    assert len(data.starts) == episodes and np.flatnonzero(data.truncated).tolist() == [end for end in ends]


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
    "no end": (replaced(timeouts=np.zeros(16, np.bool_)), ["episode 2", "no end flag", "dataset.unfinished=truncate"]),
    "actions": (replaced(actions=np.full((16, 1), 2.5)), ["actions of episode 0", "outside", "[-2.0] to [2.0]"]),
    "action width": (replaced(actions=np.zeros((16, 2))), ["actions of episode 0 have 2 numbers", "environment's 1"]),
    "obs width": (replaced(observations=np.zeros((16, 4))), ["observations of episode 0 have 4", "environment's 3"]),
}


@pytest.mark.parametrize("write", [write_hdf5, write_npz], ids=["d4rl", "npz"])
@pytest.mark.parametrize(("change", "named"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_refused_with_its_name_and_the_key_before_anything_is_written(
    change: Callable[[Arrays], Arrays], named: list[str], write: Any, root: Path, cli: Cli, capsys: Any
) -> None:
    suffix = ".hdf5" if write is write_hdf5 else ".npz"
    path = write(root / f"bad{suffix}", change(flat(EPISODES)))
    with pytest.raises(SystemExit) as stop:
        cli("dataset=d4rl", f"dataset.path={path}", "tracking=disabled")
    message = capsys.readouterr().err.strip()
    assert stop.value.code == 2 and message.startswith("error: ") and "\n" not in message
    for part in [*named, str(path)]:
        assert part in message
    assert not (root / "run").exists() and not list((root / "cache/rql").glob("[!.]*"))
    assert not list((root / "cache/rql").glob(".*.part"))


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
def test_what_cannot_be_read_is_refused_with_its_name(damage: Any, suffix: str, root: Path) -> None:
    path = root / f"set{suffix}"
    (write_hdf5 if suffix == ".hdf5" else write_npz)(path, flat(EPISODES))
    damage(path)
    with pytest.raises(DataError, match=f"set{suffix}"):
        load(FileDatasetConfig(path=str(path)))


def test_nothing_is_unpickled(root: Path) -> None:
    arrays = flat(EPISODES)
    np.savez(root / "set.npz", **{**arrays, "rewards": np.array([{}] * 16, dtype=object)})
    with pytest.raises(DataError, match=r"set\.npz.*allow_pickle"):
        load(FileDatasetConfig(path=str(root / "set.npz")))


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
def test_a_bad_minari_episode_is_refused_with_its_place(changes: Any, named: list[str], root: Path) -> None:
    with pytest.raises(DataError) as error:
        read(root, episode(2, 3, torques(2)), episode(2, 3, **({"actions": torques(2)} | changes)))
    for part in [*named, str(root), "test/set-v0"]:
        assert part in str(error.value)


def test_an_empty_and_a_damaged_minari_set_are_refused(root: Path) -> None:
    with pytest.raises(DataError, match="no transitions"):
        read(root)
    path = write_minari(root, "test/cut-v0", [episode(50, 3, torques(50))], BOX, TORQUE)
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
def test_a_data_set_of_another_environment_is_refused_with_both_spaces(obs: Any, action: Any, root: Path) -> None:
    actions = np.zeros(2, np.int64) if isinstance(action, gym_spaces.Discrete) else torques(2)
    with pytest.raises(DataError) as error:
        read(root, episode(2, obs.shape[0], actions), action=action, obs=obs)
    env = gymnasium.make("Pendulum-v1")
    theirs, ours = (obs, env.observation_space) if obs != BOX else (action, env.action_space)
    assert str(theirs) in str(error.value) and str(ours) in str(error.value)


def test_a_missing_data_set_names_those_that_are_there(monkeypatch: Any, root: Path) -> None:
    write_minari(root, "there/set-v0", [episode(2, 3, torques(2))], BOX, TORQUE)

    def unreachable(id: str) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(minari, "download_dataset", unreachable)
    with pytest.raises(DataError, match=r"not/there-v0 is not in .*there/set-v0.*no route to host"):
        open_minari("not/there-v0", True)
    with pytest.raises(DataError, match=r"there/set-v0.*dataset.download=true"):
        open_minari("not/there-v0", False)


def test_a_missing_data_set_is_fetched_and_opened(monkeypatch: Any, root: Path) -> None:
    remote = write_minari(root / "remote", "far/set-v0", [episode(2, 3, torques(2))], BOX, TORQUE)
    metadata = json.loads((remote / "metadata.json").read_text()) | {"ref_min_score": -10.0, "ref_max_score": 30.0}
    (remote / "metadata.json").write_text(json.dumps(metadata))
    monkeypatch.setattr(minari, "download_dataset", lambda id: shutil.copytree(remote, root / id / "data"))
    data = load(MinariDatasetConfig(id="far/set-v0"))[0]
    assert len(data) == 2 and data.reference == Reference(-10.0, 30.0)
    assert Reference(-10.0, 30.0).score(0.0) == 25.0


def test_demonstrations_for_cloning_may_be_another_set(root: Path) -> None:
    write_minari(root, "two/all-v0", [episode(9, 3, torques(9))], BOX, TORQUE)
    good = write_npz(root / "good.npz", flat([(4, False), (3, False)]))
    config = MinariDatasetConfig(id="two/all-v0", bc=BCDataConfig(source=str(good), top_fraction=0.5))
    offline, demonstrations = load(config)
    assert len(offline) == 9 and len(demonstrations.starts) == 1 and len(demonstrations) in (3, 4)
    offline, demonstrations = load(MinariDatasetConfig(id="two/all-v0"))
    assert demonstrations is offline


def test_several_sets_are_mixed_and_each_has_its_own_filters(root: Path) -> None:
    write_minari(root, "mix/medium-v0", [episode(9, 3, torques(9)), episode(8, 3, torques(8))], BOX, TORQUE)
    expert = write_npz(root / "expert.npz", flat([(4, False), (3, False), (5, True)]))
    part = PartConfig(source=str(expert), weight=3.0, episodes=2)
    data, _ = load(MinariDatasetConfig(id="mix/medium-v0", keep=SubsetConfig(episodes=1), mix=[part]))
    assert data.weights == (1.0, 3.0) and data.part.tolist() == [0, 1, 1]
    assert data.starts[1] in (8, 9) and len(data.starts) == 3


@pytest.mark.parametrize("env_id", CONTROLLERS)
def test_every_controller_beats_chance_and_its_demonstrations_fit_the_environment(env_id: str) -> None:
    data, _ = load(DemoDatasetConfig(episodes=3), EnvConfig(id=env_id))
    with gymnasium.make(env_id) as env:
        env.action_space.seed(0)
        chance = []
        for seed in range(3):
            env.reset(seed=seed)
            total, done = 0.0, False
            while not done:
                _, reward, terminated, truncated, _ = env.step(env.action_space.sample())
                total, done = total + float(reward), terminated or truncated
            chance.append(total)
    assert data.returns().mean() > np.mean(chance)
    assert bool((data.terminated | data.truncated)[data.ends - 1].all())


def test_demonstrations_are_a_minari_data_set_in_the_folder_that_the_configuration_names(
    tmp_path: Path, monkeypatch: Any
) -> None:
    offline, _ = load(DemoDatasetConfig(episodes=2, root=str(tmp_path)))
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    (id,) = minari.list_local_datasets()
    assert id.startswith("rql/pendulum/demo-") and minari.load_dataset(id).total_steps == len(offline) == 400
    heavier = demo_dataset(EnvConfig(id="Pendulum-v1", kwargs={"g": 5.0}), 2, 0)[0]
    assert heavier != id and minari.load_dataset(heavier).spec.env_spec.kwargs == {"g": 5.0}


def _make_demo(_: int) -> Path:
    path: Path = demo_dataset(EnvConfig(id="CartPole-v1"), 5, 7)[1]
    return path


def test_many_processes_may_make_the_demonstrations_at_once(root: Path) -> None:
    with ProcessPoolExecutor(4) as pool:
        paths = set(pool.map(_make_demo, range(8)))
    assert len(paths) == 1
    assert [path.name for path in (root / "rql/cartpole").iterdir()] == [paths.pop().parent.name]


def test_a_folder_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path, monkeypatch: Any) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(blocked))
    with pytest.raises(RQLError, match=f"{blocked}.*dataset.root"):
        demo_dataset(EnvConfig(id="CartPole-v1"), 1, 0)


def test_the_environment_may_come_from_the_data_set(root: Path, cli: Cli) -> None:
    id, _ = demo_dataset(EnvConfig(id="Pendulum-v1", kwargs={"g": 5.0}), 4, 0)
    tiny = [override for override in TINY if "dataset" not in override]
    directory = cli(*tiny, "env=from_dataset", "dataset=minari", f"dataset.id={id}")
    recorded = (directory / "config.yaml").read_text()
    assert "id: Pendulum-v1" in recorded and "g: 5.0" in recorded and "max_episode_steps: 200" in recorded


def test_a_data_set_that_names_no_environment_cannot_give_one(root: Path, cli: Cli, capsys: Any) -> None:
    write_minari(root, "test/set-v0", [episode(9, 3, torques(9))], BOX, TORQUE)
    with pytest.raises(SystemExit):
        cli("env=from_dataset", "dataset=minari", "dataset.id=test/set-v0")
    assert "test/set-v0" in capsys.readouterr().err


def test_actions_that_are_no_whole_numbers_are_refused_where_those_are_needed(root: Path) -> None:
    arrays = flat([(6, True)], observations=np.zeros((6, 4)), next_observations=np.zeros((6, 4)))
    arrays["actions"] = np.array([0, 1, 0.5, 1, 0, 2])
    path = str(write_npz(root / "cart.npz", arrays))
    with pytest.raises(
        DataError, match=r"actions of episode 0 are outside .* 0 to 1, in 2 of 6 steps, first at step 2"
    ):
        load(FileDatasetConfig(path=path), EnvConfig(id="CartPole-v1"))


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


def test_a_name_is_a_file_or_a_minari_id(root: Path) -> None:
    assert open_source(str(write_npz(root / "a.npz", flat(EPISODES))), False).name == "a"
    with pytest.raises(DataError, match="no Minari id"):
        open_source("a.csv", False)
