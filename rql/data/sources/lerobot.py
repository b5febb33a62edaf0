"""Data sets in LeRobot's format, v2 and v3: a folder of `meta/info.json`, and of frames in Parquet files."""

import importlib
import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rql.config.data import EnvConfig, LeRobotDatasetConfig
from rql.data.episodes import Episode, Source, until_done
from rql.envs.success import pays_itself
from rql.utils.errors import ConfigError, DataError
from rql.utils.extras import remedy

INFO = "meta/info.json"
VERSIONS = ("v2.", "v3.")
STATES = ("observation.state", "observation.environment_state")
ACTION, REWARD, DONE, SUCCESS = "action", "next.reward", "next.done", "next.success"
EPISODE, FRAME = "episode_index", "frame_index"
IMAGES = ("image", "video")
"""What LeRobot calls the dtype of images, whose frames are not numbers in the Parquet files."""

Table = dict[str, NDArray[Any]]


def open_lerobot(config: LeRobotDatasetConfig, env_config: EnvConfig) -> "LeRobotSource":
    """The data set of `dataset=lerobot`.

    Raises:
        ConfigError: if pyarrow is not installed.
        DataError: if there is no such folder, or it is of another format.
    """
    try:
        importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise ConfigError("dataset", "lerobot", f"pyarrow is needed: {remedy('arrow')}") from error
    return LeRobotSource(Path(config.path).expanduser(), config.observations, pays_itself(env_config))


class LeRobotSource(Source):
    """A folder of episodes, each of which ends at its first success, or, where no success is recorded, at its first
    `next.done`; where neither is set it is cut off.

    An observation is the chosen keys side by side. What follows the last step of an episode is unknown: where that
    step is done nobody looks at it, and its own observation stands in; elsewhere the step is left out.
    """

    flags = ("next.done", "the end of an episode")

    def __init__(self, path: Path, observations: Sequence[str] | None, with_rewards: bool) -> None:
        """`observations` are features; None takes `STATES`, as far as they are there. Where rewards do not count, there
        may be none.

        Raises:
            DataError: as `open_lerobot` does.
        """
        self._info = _info(path)
        features = self._info["features"]
        keys = list(observations) if observations else [key for key in STATES if key in features]
        if not keys:
            raise DataError(f"data set {path} has neither {' nor '.join(STATES)}; it has {', '.join(features)}")
        self._keys, self._with_rewards = keys, with_rewards
        for key in (*keys, ACTION, EPISODE, FRAME, *([REWARD] if with_rewards else [])):
            if key not in features:
                raise DataError(f"data set {path} has no {key}; it has {', '.join(features)}")
            if features[key]["dtype"] in IMAGES:
                raise DataError(f"data set {path}: {key} is an image, and no network here is made for images")
        chosen = f" ({'+'.join(observations)})" if observations else ""
        self.name, self.label = f"{path.name}{chosen}", str(path)
        self._files = sorted((path / "data").glob("*/*.parquet"))
        if not self._files:
            raise DataError(f"data set {path} has no data/*/*.parquet")
        self.files = [path / INFO, *self._files]

    def episodes(self) -> Iterator[Episode]:
        """In the order of the files, which is that of their numbers.

        Raises:
            DataError: if a file is damaged, or frames are missing.
        """
        rest: Table | None = None
        count = 0
        for path in self._files:
            table = self._read(path)
            count += len(table[EPISODE])
            whole = table if rest is None else {key: np.concatenate([rest[key], table[key]]) for key in table}
            starts = np.append(0, np.flatnonzero(np.diff(whole[EPISODE])) + 1)
            for start, stop in pairwise(starts):
                yield self._episode({key: column[start:stop] for key, column in whole.items()})
            rest = {key: column[starts[-1] :] for key, column in whole.items()}
        assert rest is not None
        yield self._episode(rest)
        if count != self._info["total_frames"]:
            said = f"{INFO} says {self._info['total_frames']:,}"
            raise DataError(f"data set {self.label}: there are {count:,} frames, and {said}")

    def _read(self, path: Path) -> Table:
        """The columns that are needed, (T, …) each."""
        parquet = importlib.import_module("pyarrow.parquet")
        optional = [key for key in (REWARD, DONE, SUCCESS) if key in self._info["features"]]
        names = [*self._keys, ACTION, EPISODE, FRAME, *optional]
        try:
            table = parquet.read_table(path, columns=names)
            return {name: _column(table[name]) for name in names}
        except Exception as error:  # pyarrow raises a dozen kinds for a damaged file
            what = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise DataError(f"data set {self.label}: {path.relative_to(self.label)} cannot be read: {what}") from error

    def _episode(self, table: Table) -> Episode:
        number, frames = int(table[EPISODE][0]), table[FRAME]
        if not np.array_equal(frames, np.arange(len(frames))):
            raise DataError(f"data set {self.label}: the frames of episode {number} are not 0, 1, 2 and so on")
        done = table.get(SUCCESS, table.get(DONE, np.zeros(len(frames)))).reshape(-1).astype(np.bool_)
        observations = np.concatenate([table[key].reshape(len(frames), -1) for key in self._keys], axis=1)
        rewards = table[REWARD].reshape(-1) if self._with_rewards else np.zeros(len(frames))
        success = done if SUCCESS in table else None
        return until_done(observations, table[ACTION], rewards, done, None, success)


def _info(path: Path) -> dict[str, Any]:
    try:
        info: dict[str, Any] = json.loads((path / INFO).read_text(encoding="utf-8"))
        version = str(info["codebase_version"])
        known = {"features": dict(info["features"]), "total_frames": int(info["total_frames"])}
    except OSError as error:
        raise DataError(f"data set {path} cannot be read: {INFO}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"data set {path}: {INFO} is no description of a LeRobot data set: {error!r}") from error
    if not version.startswith(VERSIONS):
        raise DataError(f"data set {path} has LeRobot's format {version}; those that begin with v2 and v3 are read")
    return known


def _column(column: Any) -> NDArray[Any]:
    """A column of numbers, or of lists of as many numbers each: (T,) or (T, width)."""
    combined = column.combine_chunks()
    if not hasattr(combined, "flatten") or not hasattr(combined.type, "value_type"):
        return np.asarray(column.to_numpy())
    return np.asarray(combined.flatten().to_numpy(zero_copy_only=False)).reshape(len(column), -1)
