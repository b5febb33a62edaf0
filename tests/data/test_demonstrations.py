"""D_bc, mixtures, and the demonstrations of the scripted controllers."""

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import gymnasium
import minari
import numpy as np
import pytest
from conftest import episode, write_minari
from made_data import BOX, TORQUE, flat, load, torques, write_npz

from rql.config.data import (
    BCDataConfig,
    DemoDatasetConfig,
    EnvConfig,
    MinariDatasetConfig,
    PartConfig,
    SubsetConfig,
)
from rql.data.demonstrators import CONTROLLERS
from rql.data.sources.demo import demo_dataset
from rql.utils.errors import RQLError


def test_demonstrations_for_cloning_may_be_another_set(data_root: Path) -> None:
    write_minari(data_root, "two/all-v0", [episode(9, 3, torques(9))], BOX, TORQUE)
    good = write_npz(data_root / "good.npz", flat([(4, False), (3, False)]))
    config = MinariDatasetConfig(id="two/all-v0", bc=BCDataConfig(source=str(good), top_fraction=0.5))
    offline, demonstrations = load(config)
    assert len(offline) == 9 and len(demonstrations.starts) == 1 and len(demonstrations) in (3, 4)
    offline, demonstrations = load(MinariDatasetConfig(id="two/all-v0"))
    assert demonstrations is offline


def test_several_sets_are_mixed_and_each_has_its_own_filters(data_root: Path) -> None:
    write_minari(data_root, "mix/medium-v0", [episode(9, 3, torques(9)), episode(8, 3, torques(8))], BOX, TORQUE)
    expert = write_npz(data_root / "expert.npz", flat([(4, False), (3, False), (5, True)]))
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


def test_many_processes_may_make_the_demonstrations_at_once(data_root: Path) -> None:
    with ProcessPoolExecutor(4) as pool:
        paths = set(pool.map(_make_demo, range(8)))
    assert len(paths) == 1
    assert [path.name for path in (data_root / "rql/cartpole").iterdir()] == [paths.pop().parent.name]


def test_a_folder_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path, monkeypatch: Any) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(blocked))
    with pytest.raises(RQLError, match=f"{blocked}.*dataset.root"):
        demo_dataset(EnvConfig(id="CartPole-v1"), 1, 0)
