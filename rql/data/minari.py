"""Minari data sets, local or remote."""

import logging
import re
import warnings
from pathlib import Path
from typing import Any

import gymnasium
import minari
from minari import MinariDataset
from minari.dataset.minari_dataset import DATASET_ID_RE
from minari.storage.datasets_root_dir import get_dataset_path

from rql.data.transitions import (
    Episode,
    Reference,
    Transitions,
    check_spaces,
    from_episodes,
)
from rql.envs.spaces import Spaces
from rql.errors import DataError

logger = logging.getLogger(__name__)


def load_minari(id: str, download: bool, view: Spaces, env: gymnasium.Env[Any, Any]) -> Transitions:
    """The Minari data set `id`, fetched first if it is missing and `download` is true.

    Raises:
        DataError: if it is neither here nor to be had, damaged, or made for another environment.
    """
    if not DATASET_ID_RE.fullmatch(id) or not re.search(r"-v\d+$", id):
        raise DataError(f"{id} is no Minari id; one looks like mujoco/hopper/medium-v0")
    if not (get_dataset_path(id) / "data").exists():
        _fetch(id, download)
    return read_minari(id, get_dataset_path(id) / "data", view, env)


def read_minari(name: str, path: Path, view: Spaces, env: gymnasium.Env[Any, Any]) -> Transitions:
    """The Minari data set in the folder `path`.

    Raises:
        DataError: if it cannot be read, or does not fit the environment.
    """
    label = f"{name} ({path})"
    try:
        dataset = MinariDataset(path)
        episodes = [
            Episode(e.observations, e.actions, e.rewards, e.terminations, e.truncations)
            for e in dataset.iterate_episodes()
        ]
    except (OSError, KeyError, ValueError, AttributeError, TypeError, ImportError) as error:
        raise DataError(f"data set {label} cannot be read: {type(error).__name__}: {error}") from error
    check_spaces(label, (dataset.observation_space, dataset.action_space), (env.observation_space, env.action_space))
    return from_episodes(label, episodes, view, _reference(dataset))


def _reference(dataset: MinariDataset) -> Reference | None:
    metadata = dataset.storage.metadata
    low, high = metadata.get("ref_min_score"), metadata.get("ref_max_score")
    return None if low is None or high is None or low == high else Reference(float(low), float(high))


def _fetch(id: str, download: bool) -> None:
    missing = f"data set {id} is not in {get_dataset_path()}; there: {_available()}"
    if not download:
        raise DataError(f"{missing} (dataset.download=true fetches it)")
    logger.info("fetching data set %s", id)
    logging.getLogger("huggingface_hub.utils._http").setLevel(logging.ERROR)  # it reports every attempt
    try:
        minari.download_dataset(id)
    except Exception as error:  # whatever the transport of the day raises
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(f"{missing}. Fetching it failed, which needs the network: {reason}") from error


def _available() -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of folders that hold something else
        return ", ".join(sorted(minari.list_local_datasets())) or "none"
