"""Data sets: what is read, what is refused, and how batches are drawn."""

import json
import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import gymnasium
import minari
import numpy as np
import pytest
import torch
from conftest import episode, write_minari
from gymnasium import spaces

from rql.config.schema import BCDataConfig, DemoDatasetConfig, EnvConfig, MinariDatasetConfig
from rql.data.demo import demo_dataset
from rql.data.demonstrators import CONTROLLERS
from rql.data.minari import load_minari, read_minari
from rql.data.replay import PackedDataset, ReplayBuffer, RowLayout
from rql.data.sources import load_datasets
from rql.data.transitions import Reference, Transitions
from rql.envs.spaces import ContinuousSpec, DiscreteSpec, Spaces, describe
from rql.errors import DataError, RQLError

BOX = spaces.Box(-np.inf, np.inf, (3,), np.float32)
PENDULUM = EnvConfig(id="Pendulum-v1")
TORQUE = spaces.Box(-2.0, 2.0, (1,), np.float32)


@pytest.fixture
def pendulum() -> gymnasium.Env[Any, Any]:
    return gymnasium.make("Pendulum-v1")


@pytest.fixture
def view(pendulum: gymnasium.Env[Any, Any]) -> Spaces:
    return describe("Pendulum-v1", pendulum.observation_space, pendulum.action_space)


def torques(steps: int, value: float = 1.0) -> Any:
    return np.full((steps, 1), value, dtype=np.float32)


def read(tmp_path: Path, view: Spaces, env: Any, *episodes: Any, action: Any = TORQUE, obs: Any = BOX) -> Transitions:
    return read_minari("t/set-v0", write_minari(tmp_path, "t/set-v0", list(episodes), obs, action), view, env)


def test_episodes_become_flat_transitions_with_their_own_last_observations(
    tmp_path: Path, view: Spaces, pendulum: Any
) -> None:
    long = episode(5, 3, torques(5, -2.0))
    short = episode(2, 3, torques(2, 0.5), terminations=[False, True], truncations=[False, False])
    data = read(tmp_path, view, pendulum, long, short)
    assert len(data) == 7 and data.starts.tolist() == [0, 5]
    assert np.array_equal(data.obs, np.concatenate([long.observations[:-1], short.observations[:-1]]))
    assert np.array_equal(data.next_obs, np.concatenate([long.observations[1:], short.observations[1:]]))
    assert data.action.ravel().tolist() == [-1.0] * 5 + [0.25] * 2
    assert data.terminated.tolist() == [False] * 6 + [True]
    assert data.truncated.tolist() == [False] * 4 + [True, False, False]
    assert data.returns() == pytest.approx([sum(long.rewards), sum(short.rewards)], rel=1e-5)


def test_the_best_episodes_are_those_of_the_highest_return(tmp_path: Path, view: Spaces, pendulum: Any) -> None:
    episodes = [
        episode(n, 3, torques(n), rewards=[value] * n) for n, value in ((2, 1.0), (3, 5.0), (4, -1.0), (2, 3.0))
    ]
    best = read(tmp_path, view, pendulum, *episodes).best(0.5)
    assert best.returns().tolist() == [15.0, 6.0] and best.starts.tolist() == [0, 3] and len(best) == 5
    assert np.array_equal(best.obs[:3], episodes[1].observations[:-1])


BROKEN: dict[str, tuple[dict[str, Any], list[str]]] = {
    "nan": (
        {"observations": np.array([[0, 0, 0], [0, np.nan, 0], [0, 0, 0]], dtype=np.float32)},
        ["observations", "NaN", "step 1 of episode 1"],
    ),
    "infinite reward": ({"rewards": [0.0, np.inf]}, ["rewards", "step 1 of episode 1"]),
    "action": ({"actions": torques(2, 3.0)}, ["2 of 4 transitions", "outside the action space", "step 0 of episode 1"]),
    "lengths": ({"rewards": [0.0]}, ["episode 1", "1 rewards", "3 observations"]),
}


@pytest.mark.parametrize(("changes", "named"), BROKEN.values(), ids=BROKEN)
def test_bad_values_are_refused_with_their_place(
    changes: dict[str, Any], named: list[str], tmp_path: Path, view: Spaces, pendulum: Any
) -> None:
    with pytest.raises(DataError) as error:
        read(tmp_path, view, pendulum, episode(2, 3, torques(2)), episode(2, 3, **({"actions": torques(2)} | changes)))
    for part in [*named, str(tmp_path), "t/set-v0"]:
        assert part in str(error.value)


def test_an_empty_and_a_truncated_file_are_refused(tmp_path: Path, view: Spaces, pendulum: Any) -> None:
    with pytest.raises(DataError, match="no transitions"):
        read(tmp_path / "empty", view, pendulum)
    path = write_minari(tmp_path, "t/cut-v0", [episode(50, 3, torques(50))], BOX, TORQUE)
    file = path / "main_data.hdf5"
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(DataError, match=f"{path}.*cannot be read"):
        read_minari("t/cut-v0", path, view, pendulum)
    (path / "metadata.json").write_text("{")
    with pytest.raises(DataError, match=f"{path}.*cannot be read"):
        read_minari("t/cut-v0", path, view, pendulum)


@pytest.mark.parametrize(
    ("obs", "action"),
    [
        (spaces.Box(-1, 1, (4,), np.float32), TORQUE),
        (BOX, spaces.Discrete(2)),
        (BOX, spaces.Box(-1, 1, (1,), np.float32)),
    ],
    ids=["observations", "kind of action", "bounds of action"],
)
def test_a_data_set_of_another_environment_is_refused_with_both_spaces(
    obs: Any, action: Any, tmp_path: Path, view: Spaces, pendulum: Any
) -> None:
    actions = np.zeros(2, np.int64) if isinstance(action, spaces.Discrete) else torques(2)
    with pytest.raises(DataError) as error:
        read(tmp_path, view, pendulum, episode(2, obs.shape[0], actions), action=action, obs=obs)
    theirs, ours = (obs, pendulum.observation_space) if obs != BOX else (action, pendulum.action_space)
    assert str(theirs) in str(error.value) and str(ours) in str(error.value)


def test_a_missing_data_set_names_those_that_are_there(
    view: Spaces, pendulum: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    write_minari(tmp_path, "there/set-v0", [episode(2, 3, torques(2))], BOX, TORQUE)

    def unreachable(id: str) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(minari, "download_dataset", unreachable)
    with pytest.raises(DataError, match=r"not/there-v0 is not in .*there/set-v0.*no route to host"):
        load_minari("not/there-v0", True, view, pendulum)
    with pytest.raises(DataError, match=r"there/set-v0.*dataset.download=true"):
        load_minari("not/there-v0", False, view, pendulum)


def test_a_missing_data_set_is_fetched_and_opened(
    view: Spaces, pendulum: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "local"))
    remote = write_minari(tmp_path / "remote", "far/set-v0", [episode(2, 3, torques(2))], BOX, TORQUE)
    metadata = json.loads((remote / "metadata.json").read_text()) | {"ref_min_score": -10.0, "ref_max_score": 30.0}
    (remote / "metadata.json").write_text(json.dumps(metadata))

    def fetch(id: str) -> None:
        shutil.copytree(remote, tmp_path / "local" / id / "data")

    monkeypatch.setattr(minari, "download_dataset", fetch)
    data = load_minari("far/set-v0", True, view, pendulum)
    assert len(data) == 2 and data.reference == Reference(-10.0, 30.0)
    assert Reference(-10.0, 30.0).score(0.0) == 25.0


def test_demonstrations_for_cloning_may_be_another_set(
    view: Spaces, pendulum: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    write_minari(tmp_path, "two/all-v0", [episode(9, 3, torques(9))], BOX, TORQUE)
    write_minari(tmp_path, "two/good-v0", [episode(4, 3, torques(4)), episode(3, 3, torques(3))], BOX, TORQUE)
    config = MinariDatasetConfig(id="two/all-v0", bc=BCDataConfig(id="two/good-v0", top_fraction=0.5))
    offline, demonstrations = load_datasets(config, PENDULUM, view, pendulum)
    assert len(offline) == 9 and len(demonstrations.starts) == 1
    config = MinariDatasetConfig(id="two/all-v0")
    offline, demonstrations = load_datasets(config, PENDULUM, view, pendulum)
    assert demonstrations is offline


@pytest.mark.parametrize("env_id", CONTROLLERS)
def test_every_controller_beats_chance_and_its_demonstrations_fit_the_environment(env_id: str) -> None:
    with gymnasium.make(env_id) as env:
        id, path = demo_dataset(EnvConfig(id=env_id), 3, 0)
        data = read_minari(id, path, describe(env_id, env.observation_space, env.action_space), env)
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
    assert bool((data.terminated | data.truncated)[np.append(data.starts[1:], len(data)) - 1].all())


def test_demonstrations_are_a_minari_data_set_in_the_folder_that_the_configuration_names(
    tmp_path: Path, view: Spaces, pendulum: Any, monkeypatch: Any
) -> None:
    config = DemoDatasetConfig(episodes=2, root=str(tmp_path))
    offline, _ = load_datasets(config, PENDULUM, view, pendulum)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    (id,) = minari.list_local_datasets()
    assert id.startswith("rql/pendulum/demo-") and minari.load_dataset(id).total_steps == len(offline) == 400
    heavier = demo_dataset(EnvConfig(id="Pendulum-v1", kwargs={"g": 5.0}), 2, 0)[0]
    assert heavier != id and minari.load_dataset(heavier).spec.env_spec.kwargs == {"g": 5.0}


def _make_demo(_: int) -> Path:
    path: Path = demo_dataset(EnvConfig(id="CartPole-v1"), 5, 7)[1]
    return path


def test_many_processes_may_make_the_demonstrations_at_once(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    with ProcessPoolExecutor(4) as pool:
        paths = set(pool.map(_make_demo, range(8)))
    assert len(paths) == 1
    assert [path.name for path in (tmp_path / "rql/cartpole").iterdir()] == [paths.pop().parent.name]


def test_a_folder_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path, monkeypatch: Any) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(blocked))
    with pytest.raises(RQLError, match=f"{blocked}.*dataset.root"):
        demo_dataset(EnvConfig(id="CartPole-v1"), 1, 0)


def test_actions_are_rescaled_and_back() -> None:
    spec = ContinuousSpec(np.array([-2.0, 0.0], np.float32), np.array([2.0, 10.0], np.float32), (2,))
    native = np.array([[-2.0, 10.0], [1.0, 2.5]], np.float32)
    assert spec.from_env(native).tolist() == [[-1.0, 1.0], [0.5, -0.5]]
    assert np.allclose(spec.to_env(spec.from_env(native)), native)
    assert DiscreteSpec(3, start=-1).from_env(np.array([-1, 1])).tolist() == [0, 2]


def numbered(count: int, discrete: bool) -> tuple[Transitions, Spaces]:
    """Transitions whose every field says which one it is."""
    n = np.arange(count, dtype=np.float32)
    action = (n % 3).astype(np.int64) if discrete else n[:, None] / count
    view = Spaces(2, DiscreteSpec(3, 0) if discrete else ContinuousSpec(-np.ones(1), np.ones(1), (1,)))
    obs = np.stack([n, n], axis=1)
    flags = n % 2 == 1
    return Transitions("n", obs, action, n, obs + 0.5, flags, ~flags, np.array([0])), view


@pytest.mark.parametrize("discrete", [True, False])
def test_a_batch_keeps_the_fields_of_a_transition_together(discrete: bool) -> None:
    data, view = numbered(100, discrete)
    batch = PackedDataset(data, RowLayout(view), torch.device("cpu")).sample(256, torch.Generator().manual_seed(0))
    n = batch.reward
    assert len(set(n.tolist())) > 80
    assert torch.equal(batch.obs, torch.stack([n, n], 1)) and torch.equal(batch.next_obs, batch.obs + 0.5)
    assert torch.equal(batch.terminated, n % 2)
    expected = (n % 3).long() if discrete else (n / 100).unsqueeze(1)
    assert torch.equal(batch.action, expected) and batch.action.dtype == expected.dtype


def test_the_replay_buffer_keeps_the_newest_and_mixes_as_told() -> None:
    data, view = numbered(50, discrete=False)
    layout = RowLayout(view)
    replay = ReplayBuffer(10, PackedDataset(data, layout, torch.device("cpu")))
    for first in range(1000, 1024, 4):
        n = np.arange(first, first + 4, dtype=np.float32)
        obs = np.stack([n, n], axis=1)
        replay.append(layout.pack(obs, n[:, None] * 0, n, obs, n < 0))
    draws = torch.Generator().manual_seed(0)
    online = replay.sample(500, 0.0, draws).reward
    assert replay.size == 10 and set(online.tolist()) == set(range(1014, 1024))
    mixed = replay.sample(100, 0.3, draws).reward
    assert int((mixed < 50).sum()) == 30
    assert bool((replay.sample(100, 1.0, draws).reward < 50).all())
