"""Writing Minari data sets, whole or not at all."""

import errno
import logging
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec
from minari.data_collector.episode_buffer import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage
from minari.serialization import deserialize_space, serialize_space

from rql.data.journal import Journal, read_episodes, read_header
from rql.data.sources.minari import JOURNAL_SUFFIX, check_id, dataset_folder, journal_path
from rql.utils.errors import DataError, RQLError
from rql.utils.files import code_version

logger = logging.getLogger(__name__)
EPISODE_OVERHEAD = 20_000
"""Bytes that an episode takes in HDF5 beside its numbers."""
SETS = ("author", "author_email")
"""What Minari wants as a set, which JSON does not have."""


def describe_set(id: str, env: gymnasium.Env[Any, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """All that a data set says of itself, as plain values."""
    spec = env.spec
    try:
        recipe = None if spec is None else spec.to_json()
    except (TypeError, ValueError) as error:
        logger.warning("data set %s cannot say how its environment is made: %s", id, error)
        recipe = None
    return {
        "id": id,
        "observation_space": serialize_space(env.observation_space),
        "action_space": serialize_space(env.action_space),
        "env_spec": recipe,
        "metadata": {"minari_version": version("minari"), "rql_version": code_version(), **metadata},
    }


def begin_set(description: dict[str, Any]) -> Journal:
    """A journal for the episodes of a data set that is not there yet.

    Raises:
        RQLError: if there is a set of this id already, or the journal cannot be opened.
    """
    check_id(description["id"])
    path = dataset_folder(description["id"])
    if path.exists():
        raise DataError(f"there is a data set {description['id']} already ({path}); nothing is overwritten")
    return Journal(journal_path(description["id"]), description)


def continue_set(description: dict[str, Any], owner: str) -> Journal:
    """The same, or the journal that the same owner (an entry of the metadata) began.

    Raises:
        RQLError: as `begin_set`, also if the journal is another owner's.
    """
    path = journal_path(description["id"])
    if path.exists():
        header = read_header(path)
        if header["metadata"].get(owner) == description["metadata"][owner]:
            return Journal(path, header)
    return begin_set(description)


def finish_set(journal: Journal) -> Path:
    """Make the data set of a journal, in the folder where the journal lies, and discard the journal.

    Raises:
        RQLError: if it holds no episode, or the set cannot be written; then the journal stays.
    """
    path = journal.path.with_name(journal.path.name.removeprefix(".").removesuffix(JOURNAL_SUFFIX))
    if not journal.episodes:
        raise DataError(f"{journal.path} holds no whole episode")
    if not _made_already(journal, path):
        size = journal.size + journal.episodes * EPISODE_OVERHEAD
        write_set(path, journal.header, read_episodes(journal.path), size)
    journal.discard()
    return path


def leave(journal: Journal) -> None:
    """Close the journal, and say what is kept where something cut it off before it became a data set."""
    if journal.episodes:
        remedy = f"`rql data recover {journal.header['id']}` makes a data set of them"
        print(f"{journal.episodes:,} finished episodes are kept; {remedy}")
    journal.close()


def _made_already(journal: Journal, path: Path) -> bool:
    """Whether the set of this journal was made by a process that was killed before it discarded the journal."""
    try:
        found = MinariStorage.read_raw_metadata(path / "data")
    except (OSError, ValueError):
        return False
    said = {key: value for key, value in journal.header["metadata"].items() if key not in SETS}
    expected = {"total_steps": journal.steps, "total_episodes": journal.episodes, **said}
    return all(found.get(key) == value for key, value in expected.items())


def write_set(path: Path, description: dict[str, Any], episodes: Iterable[EpisodeBuffer], size: int) -> None:
    """Make a data set of about `size` bytes in a folder aside and rename it to `path`, so that what is there is whole.

    Raises:
        DataError: if there is a set of this id by then; it stays as it is.
        RQLError: if it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as folder:
            _check_room(Path(folder), size)
            part = Path(folder) / path.name
            part.mkdir()
            _fill(part / "data", description, episodes)
            part.rename(path)
    except OSError as error:
        if path.exists():
            raise DataError(f"there is a data set {description['id']} already ({path}); it stays as it is") from error
        where = "MINARI_DATASETS_PATH, or dataset.root of a run, names another place"
        raise RQLError(f"data set {description['id']} cannot be written to {path}: {error}; {where}") from error


def _check_room(folder: Path, size: int) -> None:
    """Reserve the space and give it back: HDF5 takes the whole process down where it meets a full disk.

    Raises:
        OSError: if there is no room, or files may not grow so large.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        elif shutil.disk_usage(folder).free < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _fill(data: Path, description: dict[str, Any], episodes: Iterable[EpisodeBuffer]) -> None:
    spec = description["env_spec"]
    storage = MinariStorage.new(
        data,
        observation_space=deserialize_space(description["observation_space"]),
        action_space=deserialize_space(description["action_space"]),
        env_spec=None if spec is None else EnvSpec.from_json(spec),
    )
    metadata = {key: set(value) if key in SETS else value for key, value in description["metadata"].items()}
    storage.update_metadata({"dataset_id": description["id"], **metadata})
    storage.update_episodes(episodes)
    for path in data.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
