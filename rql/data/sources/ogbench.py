"""OGBench's own data sets (Park et al. 2025), relabelled for the task of an environment."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from rql.config.data import EnvConfig, OGBenchDatasetConfig
from rql.data.episodes import Episode, Source
from rql.envs.make import make_env
from rql.utils.errors import ConfigError, DataError

REQUIRED = ("observations", "actions", "terminals", "qpos")
BUTTONS = "button_states"
"""What tasks with buttons need besides."""


def open_ogbench(config: OGBenchDatasetConfig, env_config: EnvConfig) -> "OGBenchSource":
    """The data set of `dataset=ogbench`.

    Raises:
        ConfigError: if the environment is none of OGBench's with a single task.
        DataError: if there is no such file.
    """
    return OGBenchSource(Path(config.path).expanduser(), env_config)


class OGBenchSource(Source):
    """A .npz file of trajectories that went on whatever they reached; of each, the last step has no successor.

    Rewards are those of the task: minus the number of parts of it that are not done. Steps from a state in which all
    are done terminate, as in the environment.
    """

    flags = ("done", "the end of a trajectory")

    def __init__(self, path: Path, env_config: EnvConfig) -> None:
        """The file, which is not read yet.

        Raises:
            ConfigError, DataError: as `open_ogbench` does.
        """
        self.name, self.label, self.files = f"{path.stem} for {env_config.id}", str(path), [path]
        self._path, self._env_config = path, env_config
        if not path.is_file():
            raise DataError(f"data set {path} cannot be read: there is no such file")
        with make_env(env_config) as env:
            if getattr(env.unwrapped, "_reward_task_id", None) is None:
                allowed = "one of OGBench's with a task, as cube-single-singletask-task1-v0, for dataset=ogbench"
                raise ConfigError("env.id", env_config.id, allowed)

    def episodes(self) -> Iterator[Episode]:
        """One after the other.

        Raises:
            DataError: if the file is damaged, or arrays are missing or of different lengths.
        """
        arrays = self._read()
        with make_env(self._env_config) as env:
            self._relabel(env, arrays)
        stops = np.flatnonzero(arrays["terminals"]) + 1
        for start, stop in zip(np.append(0, stops[:-1]), stops, strict=True):
            steps, following = slice(start, stop - 1), slice(start + 1, stop)
            obs, done = arrays["observations"], arrays["masks"][steps] == 0.0
            cut = np.zeros(len(done), dtype=np.bool_)
            cut[-1:] = True
            if len(done):
                kept = obs[steps], arrays["actions"][steps], arrays["rewards"][steps], obs[following]
                yield Episode(*kept, done, cut & ~done, success=done)

    def _relabel(self, env: gymnasium.Env[Any, Any], arrays: dict[str, Any]) -> None:
        """Add rewards (N,) and masks (N,), 0 where the task is done."""
        core: Any = env.unwrapped
        width, wanted = arrays["qpos"].shape[-1], (core._model if hasattr(core, "_model") else core.model).nq
        if width != wanted:
            what = f"qpos has {width} numbers, and {self._env_config.id} {wanted}"
            raise DataError(f"data set {self.label} was made in another environment: {what}")
        try:
            importlib.import_module("ogbench.relabel_utils").relabel_dataset(self._env_config.id, env, arrays)
        except (KeyError, IndexError, ValueError) as error:
            what = f"{type(error).__name__} {error}"
            needed = f"{', '.join(REQUIRED)}, and {BUTTONS} for tasks with buttons, are needed"
            raise DataError(f"data set {self.label} cannot be relabelled: {what}; {needed}") from error

    def _read(self) -> dict[str, Any]:
        try:
            with np.load(self._path, allow_pickle=False) as file:
                arrays = {key: file[key] for key in (*REQUIRED, BUTTONS) if key in file}
        except Exception as error:  # whatever numpy raises for what is no archive of arrays
            raise DataError(f"data set {self.label} cannot be read: {type(error).__name__}: {error}") from error
        if missing := [key for key in REQUIRED if key not in arrays]:
            what = f"no {', '.join(missing)}; those that OGBench publishes for single tasks have"
            raise DataError(f"data set {self.label} has {what}")
        lengths = {key: len(array) for key, array in arrays.items()}
        if len(set(lengths.values())) > 1 or not arrays["terminals"].size or not arrays["terminals"][-1]:
            raise DataError(f"data set {self.label} is cut off: arrays of lengths {lengths}, terminals at the end")
        return arrays
