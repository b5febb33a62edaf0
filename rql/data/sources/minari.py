"""Minari data sets, local or remote, in either of their formats."""

import logging
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import minari
import numpy as np
from gymnasium import spaces
from minari import MinariDataset
from minari.dataset.minari_dataset import DATASET_ID_RE
from minari.storage.datasets_root_dir import get_dataset_path

from rql.config.data import EnvConfig, MinariDatasetConfig
from rql.data.episodes import Episode, Source, SpacePair
from rql.data.sources.network import check_network
from rql.data.transitions import Reference
from rql.envs.goals import SUCCESS_KEYS
from rql.utils.errors import DataError, RQLError
from rql.utils.tree import map_leaves

logger = logging.getLogger(__name__)
READ_ERRORS = (OSError, KeyError, ValueError, AttributeError, TypeError, ImportError, AssertionError, RuntimeError)
"""What Minari and h5py raise for a file that is damaged or not theirs."""
JOURNAL_SUFFIX = ".episodes"
EPISODES_AT_ONCE = 500
"""Read before the file is opened anew: HDF5 keeps memory for each group it has seen."""


class MinariSource(Source):
    """The Minari data set in a folder."""

    flags = ("terminations", "truncations")

    def __init__(self, name: str, path: Path) -> None:
        """Read the metadata.

        Raises:
            DataError: if they cannot be read.
        """
        self.name, self.label = name, f"{name} ({path})"
        try:
            self.files = sorted(file for file in path.rglob("*") if file.is_file())
            self._dataset = MinariDataset(path)
            metadata = self._dataset.storage.metadata
        except READ_ERRORS as error:
            raise self._unreadable(error) from error
        self.spaces = (self._dataset.observation_space, self._dataset.action_space)
        self.env_spec = self._dataset.env_spec
        low, high = metadata.get("ref_min_score"), metadata.get("ref_max_score")
        known = low is not None and high is not None and low != high
        self.reference = Reference(float(low), float(high)) if known else None

    def episodes(self) -> Iterator[Episode]:
        """One after the other.

        Raises:
            DataError: if the files are damaged.
        """
        try:
            indices = self._dataset.episode_indices
            for start in range(0, len(indices), EPISODES_AT_ONCE):
                for raw in self._dataset.storage.get_episodes(indices[start : start + EPISODES_AT_ONCE]):
                    yield Episode(
                        map_leaves(lambda leaf: leaf[:-1], raw["observations"]),
                        raw["actions"],
                        raw["rewards"],
                        map_leaves(lambda leaf: leaf[1:], raw["observations"]),
                        raw["terminations"],
                        raw["truncations"],
                        success=_success(raw["infos"], len(raw["rewards"])),
                    )
        except READ_ERRORS as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> DataError:
        return DataError(f"data set {self.label} cannot be read: {type(error).__name__}: {error}")


def _success(infos: dict[str, Any] | None, steps: int) -> Any:
    """(T,): what the steps of an episode reported; there may be an entry for its reset before them."""
    reported = [np.asarray(infos[key]) for key in SUCCESS_KEYS if key in infos] if infos else []
    return reported[0][len(reported[0]) - steps :] if reported else None


def open_configured(config: MinariDatasetConfig, env_config: EnvConfig) -> MinariSource:
    """The data set of `dataset=minari`.

    Raises:
        DataError: as `open_minari`.
    """
    return open_minari(config.id, config.download)


def open_minari(id: str, download: bool) -> MinariSource:
    """The Minari data set `id`, fetched first if it is missing and `download` is true.

    Raises:
        DataError: if it is neither here nor to be had, or damaged.
    """
    check_id(id)
    if not (dataset_folder(id) / "data").exists():
        _fetch(id, download)
    return MinariSource(id, dataset_folder(id) / "data")


def dataset_folder(id: str | None = None) -> Path:
    """The folder of a local data set, or the one that holds them all, which is made if need be.

    Raises:
        RQLError: if that cannot be.
    """
    try:
        path: Path = get_dataset_path(id)
    except OSError as error:
        where = "dataset.root or MINARI_DATASETS_PATH names another place"
        raise RQLError(f"there can be no Minari data sets here: {error}; {where}") from error
    return path


def journal_path(id: str) -> Path:
    """Where the episodes of a data set are kept until it is whole."""
    path = dataset_folder(id)
    return path.with_name(f".{path.name}{JOURNAL_SUFFIX}")


def check_id(id: str) -> None:
    """Refuse what is no Minari id.

    Raises:
        DataError: with what one looks like.
    """
    if not DATASET_ID_RE.fullmatch(id) or not re.search(r"-v\d+$", id):
        raise DataError(f"{id} is no Minari id; one looks like mujoco/hopper/medium-v0")


def check_spaces(label: str, of_data: SpacePair, of_env: SpacePair) -> None:
    """Refuse a data set made in another environment: (observation space, action space) of both.

    Raises:
        DataError: with both spaces in its text.
    """
    for kind, data, env in zip(("observations", "actions"), of_data, of_env, strict=True):
        if not _alike(data, env, compare_bounds=kind == "actions"):
            raise DataError(f"{label} does not fit the environment: its {kind} are {data}, the environment's {env}")


def _alike(data: spaces.Space[Any], env: spaces.Space[Any], compare_bounds: bool) -> bool:
    if isinstance(data, spaces.Dict) and isinstance(env, spaces.Dict):
        same = data.spaces.keys() == env.spaces.keys()
        return same and all(_alike(data[key], env[key], compare_bounds) for key in data.spaces)
    if isinstance(data, spaces.Tuple) and isinstance(env, spaces.Tuple):
        pairs = zip(data.spaces, env.spaces, strict=False)
        return len(data.spaces) == len(env.spaces) and all(_alike(a, b, compare_bounds) for a, b in pairs)
    if isinstance(data, spaces.Box) and isinstance(env, spaces.Box):
        if data.shape != env.shape or not compare_bounds:
            return data.shape == env.shape
        return bool(np.allclose(data.low, env.low) and np.allclose(data.high, env.high))
    return bool(data == env)


def _fetch(id: str, download: bool) -> None:
    missing = f"data set {id} is not in {dataset_folder()}; there: {_available()}"
    if journal_path(id).exists():
        raise DataError(f"data set {id} is an unfinished collection; `rql data recover {id}` finishes it")
    if not download:
        raise DataError(f"{missing} (dataset.download=true, or `minari download {id}`, fetches it)")
    logger.info("fetching data set %s", id)
    logging.getLogger("huggingface_hub.utils._http").setLevel(logging.ERROR)  # it reports every attempt
    try:
        check_network()
        minari.download_dataset(id)
    except Exception as error:  # whatever the transport of the day raises
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        remedy = f"`minari download {id}` fetches it where there is one, dataset.download=false does not try"
        raise DataError(f"{missing}. Fetching it failed, which needs the network: {reason} ({remedy})") from error


def _available() -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of folders that hold something else
        return ", ".join(sorted(minari.list_local_datasets())) or "none"
