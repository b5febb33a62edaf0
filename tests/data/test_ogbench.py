"""OGBench's files: rewards of the task as the environment pays them, and what is wrong with a file that is not one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_data import load

from rql.config.data import EnvConfig, OGBenchDatasetConfig
from rql.envs.experts import Demonstrating
from rql.envs.make import make_env
from rql.utils.errors import ConfigError, DataError

CUBE = EnvConfig(id="cube-single-singletask-task1-v0")
OTHER_TASK = EnvConfig(id="cube-single-singletask-task3-v0")
STEPS = 60


@pytest.fixture(scope="module")
def recorded() -> tuple[dict[str, Any], list[float]]:
    """A file's arrays of two trajectories that go on after their success, and what the environment paid meanwhile."""
    arrays: dict[str, Any] = {key: [] for key in ("observations", "actions", "terminals", "qpos")}
    paid = list[float]()
    goes_on = EnvConfig(id=CUBE.id, kwargs={"terminate_at_goal": False})
    with Demonstrating(make_env(goes_on), goes_on, 0.0) as env:
        for seed in range(2):
            obs, info = env.reset(seed=seed)
            for step in range(STEPS + 1):
                action = env.demonstrate()
                found = {"observations": obs, "actions": action, "terminals": step == STEPS, "qpos": info["qpos"]}
                for key, value in found.items():
                    arrays[key].append(np.asarray(value, np.float64 if key == "qpos" else np.float32))
                if step < STEPS:
                    obs, reward, _, _, info = env.step(action)
                    paid.append(float(reward))
    return {key: np.stack(values) for key, values in arrays.items()}, paid


def written(path: Path, arrays: dict[str, Any]) -> OGBenchDatasetConfig:
    np.savez(path, **arrays)
    return OGBenchDatasetConfig(path=str(path))


def test_rewards_are_those_that_the_environment_pays(tmp_path: Path, recorded: Any) -> None:
    arrays, paid = recorded
    data, _ = load(written(tmp_path / "cube.npz", arrays), CUBE)
    assert data.reward.tolist() == paid and {*paid} == {-1.0, 0.0}
    assert data.terminated.tolist() == [reward == 0.0 for reward in paid]
    assert data.truncated.sum() == 2 - data.terminated[[STEPS - 1, 2 * STEPS - 1]].sum()
    other, _ = load(OGBenchDatasetConfig(path=str(tmp_path / "cube.npz")), OTHER_TASK)
    assert other.reward.tolist() != paid
    first = int(np.argmax(data.terminated))
    assert np.array_equal(data.next_obs[first - 1], arrays["observations"][first])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda arrays: arrays.pop("qpos"), r"has no qpos; those that OGBench publishes for single tasks have"),
        (lambda arrays: arrays.update(qpos=arrays["qpos"][:-1]), "is cut off: arrays of lengths"),
        (lambda arrays: arrays.update(qpos=arrays["qpos"][:, :15]), "was made in another environment"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, recorded: Any, change: Any, said: str) -> None:
    arrays = dict(recorded[0])
    change(arrays)
    with pytest.raises(DataError, match=said):
        load(written(tmp_path / "cube.npz", arrays), CUBE)


def test_a_file_that_is_none_and_an_environment_without_a_task_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(DataError, match=r"text\.npz cannot be read"):
        load(OGBenchDatasetConfig(path=str(tmp_path / "text.npz")), CUBE)
    with pytest.raises(DataError, match="there is no such file"):
        load(OGBenchDatasetConfig(path=str(tmp_path / "none.npz")), CUBE)
    with pytest.raises(ConfigError, match=r"one of OGBench's with a task"):
        load(OGBenchDatasetConfig(path=str(tmp_path / "text.npz")))
