"""Demonstrations in robomimic's HDF5 format (Mandlekar et al. 2021), `data/demo_N/{obs/…, actions, rewards, dones}`."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from rql.config.data import EnvConfig, RobomimicDatasetConfig
from rql.data.episodes import Episode, Source, until_done
from rql.envs.spaces import is_image
from rql.utils.errors import DataError

DEMONSTRATIONS, OBS, NEXT_OBS = "data", "obs", "next_obs"
REQUIRED = ("actions", "rewards", "dones")


def open_robomimic(config: RobomimicDatasetConfig, env_config: EnvConfig) -> "RobomimicSource":
    """The data set of `dataset=robomimic`.

    Raises:
        DataError: if there is no such file, it may not be read, or it is no HDF5 file.
    """
    return RobomimicSource(Path(config.path).expanduser(), config.observations, env_config.flatten_images)


class RobomimicSource(Source):
    """A file of demonstrations, each an episode that ends at its first `done`, or is cut off where none is set.

    An observation is the chosen keys side by side. Without `next_obs`, what follows the last step is unknown: where
    that step is done nobody looks at it, and its own observation stands in; elsewhere the step is left out.
    """

    flags = ("dones", "the end of a demonstration")

    def __init__(self, path: Path, observations: Sequence[str] | None, flatten_images: bool = False) -> None:
        """`observations` are keys of `obs`; None takes all that are vectors, in alphabetical order.

        Raises:
            DataError: as `open_robomimic` does.
        """
        chosen = f" ({'+'.join(observations)})" if observations else ""
        self.name, self.label, self.files = f"{path.stem}{chosen}", str(path), [path]
        self._path, self._keys, self._flatten_images = path, observations, flatten_images
        with self._opened() as file:
            if not isinstance(file.get(DEMONSTRATIONS), h5py.Group) or not len(file[DEMONSTRATIONS]):
                raise DataError(f"data set {path} has no demonstrations: data/demo_0 and so on are needed")

    def episodes(self) -> Iterator[Episode]:
        """In the order of their numbers.

        Raises:
            DataError: if the file is damaged, or a demonstration lacks a key.
        """
        with self._opened() as file:
            demonstrations = file[DEMONSTRATIONS]
            for name in sorted(demonstrations, key=lambda name: (len(name), name)):
                try:
                    yield self._episode(name, demonstrations[name])
                except (OSError, RuntimeError, KeyError, TypeError, ValueError, AttributeError) as error:
                    raise DataError(f"data set {self.label}: {name} cannot be read: {error}") from error

    def _opened(self) -> Any:
        try:
            return h5py.File(self._path, "r")
        except OSError as error:
            raise DataError(f"data set {self._path} cannot be read: {error.strerror or error}") from error

    def _episode(self, name: str, demonstration: Any) -> Episode:
        for key in (*REQUIRED, OBS):
            if key not in demonstration:
                raise DataError(f"data set {self.label}: {name} has no {key}; it has {', '.join(demonstration)}")
        actions, rewards, dones = (demonstration[key][()] for key in REQUIRED)
        observations = self._vectors(name, demonstration[OBS])
        recorded = self._vectors(name, demonstration[NEXT_OBS]) if NEXT_OBS in demonstration else None
        lengths = {len(column) for column in (actions, rewards, dones, observations, recorded) if column is not None}
        if len(lengths) > 1:
            raise DataError(f"data set {self.label}: {name} has columns of {sorted(lengths)} steps")
        return until_done(observations, actions, rewards, dones, recorded, dones)

    def _vectors(self, name: str, observations: Any) -> NDArray[Any]:
        """The chosen observations side by side, (T, width)."""
        keys = self._keys or sorted(key for key, column in observations.items() if column.ndim == 2)
        for key in keys:
            if key not in observations:
                has = ", ".join(observations)
                raise DataError(f"data set {self.label}: {name} has no observation {key}; it has {has}")
            if not self._flatten_images and is_image(observations[key].shape[1:], observations[key].dtype):
                what = f"observation {key} is an image; env.flatten_images=true lays it flat"
                raise DataError(f"data set {self.label}: {what}")
        columns = [observations[key][()] for key in keys]
        return np.concatenate([column.reshape(len(column), -1) for column in columns], axis=1)
