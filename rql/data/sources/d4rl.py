"""Files with the keys of D4RL, one array a key over all steps: HDF5 and numpy's .npz."""

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from rql.config.data import EnvConfig, FileDatasetConfig
from rql.data.breaks import breaks
from rql.data.episodes import Episode, Source
from rql.envs.make import step_limit
from rql.envs.success import pays_itself
from rql.utils.errors import ConfigError, DataError

Arrays = dict[str, NDArray[Any]]

REQUIRED = ("observations", "actions", "rewards", "terminals")
OPTIONAL = ("timeouts", "next_observations")
HDF5_SUFFIXES = (".hdf5", ".h5")
SUFFIXES = (*HDF5_SUFFIXES, ".npz")
WITHOUT_REWARDS = "reward=success dataset.success=last_step takes the end of each demonstration for its success"


def open_file(config: FileDatasetConfig, env_config: EnvConfig) -> "FlatSource":
    """The data set of `dataset=d4rl` and of `dataset=npz`.

    Raises:
        ConfigError: if the path has another ending.
        DataError: if there is no such file, or it may not be read.
    """
    if Path(config.path).suffix not in SUFFIXES:
        raise ConfigError("dataset.path", config.path, f"a file {', '.join(SUFFIXES)}")
    return FlatSource(Path(config.path).expanduser(), step_limit(env_config), pays_itself(env_config))


class FlatSource(Source):
    """A file of N steps, whose episodes end where `terminals` or `timeouts` is set.

    Where no time-out is set, an episode times out where `next_observations` are not what `observations` go on with, and
    after as many steps as the environment allows. Without `next_observations`, what follows the last step of an episode
    is unknown. After a terminal step nobody looks at it, and its own observation stands in; a step that timed out is
    left out, and the one before it is the truncated one (as in D4RL's own `qlearning_dataset`).
    """

    flags = ("terminals", "timeouts")

    def __init__(self, path: Path, step_limit: int | None = None, with_rewards: bool = True) -> None:
        """The file, which is not read yet.

        Args:
            path: where it lies.
            step_limit: the number of steps after which the environment ends an episode, if it does.
            with_rewards: whether its rewards count; where they do not, there may be none.

        Raises:
            DataError: if there is no such file, or it may not be read.
        """
        self.name, self.label, self.files = path.stem, str(path), [path]
        self._path, self._step_limit, self._with_rewards = path, step_limit, with_rewards
        try:
            path.stat()
        except OSError as error:
            raise DataError(f"data set {path} cannot be read: {error.strerror}") from error
        if not path.is_file():
            raise DataError(f"data set {path} is a folder; a file {' or '.join(SUFFIXES)} is needed")

    def episodes(self) -> Iterator[Episode]:
        """One after the other; the last one may have no end flag.

        Raises:
            DataError: if the file is damaged, a key is missing, or the arrays do not fit together.
        """
        arrays = self.arrays()
        arrays["timeouts"] = self._timeouts(arrays)
        terminals, timeouts = (arrays[flag] != 0 for flag in self.flags)
        stops = np.flatnonzero(terminals | timeouts) + 1
        if not len(stops) or stops[-1] < len(terminals):
            stops = np.append(stops, len(terminals))
        for start, stop in zip(np.append(0, stops[:-1]), stops, strict=True):
            if "next_observations" in arrays:
                following = arrays["next_observations"][start:stop]
            else:
                following = arrays["observations"][start + 1 : stop]
                if terminals[stop - 1]:
                    following = np.append(following, arrays["observations"][stop - 1 : stop], axis=0)
            steps = slice(start, start + len(following))
            truncated = arrays["timeouts"][steps].copy()
            if len(truncated):
                truncated[-1] = arrays["timeouts"][stop - 1]
                observations, actions, rewards = (arrays[key][steps] for key in REQUIRED[:3])
                yield Episode(observations, actions, rewards, following, arrays["terminals"][steps], truncated)

    def _timeouts(self, arrays: Arrays) -> NDArray[Any]:
        """(N,): where an episode was cut off, as the file says or, where it says so nowhere, as it shows."""
        terminals, timeouts = (arrays[flag] != 0 for flag in self.flags)
        obs, following = arrays["observations"], arrays.get("next_observations")
        if following is not None and following.shape == obs.shape:
            broken = breaks(obs, following)
            self._refuse_shifted(terminals | timeouts, broken)
        else:
            broken = np.zeros_like(terminals)
        if timeouts.any():
            return arrays["timeouts"]
        broken[-1:] = False  # that a file ends says nothing of how the episode did
        if self._step_limit is not None:
            stops = np.append(np.flatnonzero(terminals | broken) + 1, len(broken))
            for start, stop in zip(np.append(0, stops[:-1]), stops, strict=True):
                broken[start + self._step_limit - 1 : stop : self._step_limit] = True
        cut: NDArray[np.bool_] = broken & ~terminals
        return cut

    def _refuse_shifted(self, flags: NDArray[np.bool_], broken: NDArray[np.bool_]) -> None:
        """Refuse flags that stand beside the steps after which the observations break off."""
        misplaced = flags & ~broken
        beside = np.append(misplaced[1:], False) | np.append(False, misplaced[:-1])
        places = np.flatnonzero(broken & ~flags & beside)
        if len(places):
            named = ", ".join(f"{place:,}" for place in places[:3]) + (" and others" if len(places) > 3 else "")
            what = f"next_observations break off at step {named} ({len(places):,} in all), where no end flag is set"
            either = " or ".join(self.flags)
            raise DataError(f"data set {self.label}: {what}, and go on at the step beside it, where {either} is set")

    def arrays(self) -> Arrays:
        """The arrays by their key, of one length.

        Raises:
            DataError: as `episodes` does.
        """
        return self._checked(self._read())

    def _read(self) -> Arrays:
        try:
            if self._path.suffix in HDF5_SUFFIXES:
                with h5py.File(self._path, "r") as file:
                    return {
                        key: file[key][()] for key in (*REQUIRED, *OPTIONAL) if isinstance(file.get(key), h5py.Dataset)
                    }
            with self._path.open("rb") as archive:
                if not zipfile.is_zipfile(archive):
                    raise DataError(f"data set {self.label} cannot be read: it is no .npz archive")
            with np.load(self._path, allow_pickle=False) as file:
                return {key: file[key] for key in (*REQUIRED, *OPTIONAL) if key in file}
        except (
            OSError,
            ValueError,
            RuntimeError,
            KeyError,
            TypeError,
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
        ) as error:
            raise DataError(f"data set {self.label} cannot be read: {type(error).__name__}: {error}") from error

    def _checked(self, arrays: Arrays) -> Arrays:
        if not self._with_rewards and "terminals" in arrays:
            arrays.setdefault("rewards", np.zeros(arrays["terminals"].size))
        for key in REQUIRED:
            if key not in arrays:
                has = ", ".join(arrays) or "none of them"
                remedy = f"; {WITHOUT_REWARDS}" if key == "rewards" else ""
                raise DataError(f"data set {self.label} has no array {key}; of the keys of D4RL it has {has}{remedy}")
        steps = arrays["rewards"].size
        arrays.setdefault("timeouts", np.zeros(steps, dtype=np.bool_))
        for key, array in arrays.items():
            if array.dtype.kind not in "biuf":
                raise DataError(f"data set {self.label}: {key} has dtype {array.dtype}, where real numbers are needed")
            if array.ndim == 0 or len(array) != steps:
                shape = f"{key} has shape {array.shape}"
                raise DataError(f"data set {self.label}: {shape}, where the {steps} rewards need a length of {steps}")
        if not steps:
            raise DataError(f"data set {self.label} holds no transitions")
        for key in ("rewards", *self.flags):
            if arrays[key].size != steps:
                raise DataError(
                    f"data set {self.label}: {key} has shape {arrays[key].shape}, where ({steps},) is needed"
                )
            arrays[key] = arrays[key].reshape(-1)
            if key in self.flags and not np.isfinite(arrays[key]).all():
                raise DataError(f"data set {self.label}: {key} holds something that is no number")
        return arrays
