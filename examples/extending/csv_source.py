"""A data source of your own: a CSV file with a row for each step.

Its columns: `episode`, `obs_0` …, `action_0` …, `reward`, `next_obs_0` …, `terminated`, `truncated`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import MISSING

import rql
from rql.config.data import DatasetConfig, EnvConfig
from rql.data.episodes import Episode, Source
from rql.utils.errors import DataError


class CSVSource(Source):
    """The episodes of a CSV file. They are converted once; the cache has them until the file changes."""

    flags = ("terminated", "truncated")

    def __init__(self, path: Path) -> None:
        """Raises:
        DataError: if there is no such file.
        """
        if not path.is_file():
            raise DataError(f"data set {path} is no file")
        self.name, self.label, self.files = path.stem, str(path), [path]

    def episodes(self) -> Iterator[Episode]:
        """The episodes, in the order of the file."""
        (path,) = self.files
        table = np.genfromtxt(path, delimiter=",", names=True)
        names = table.dtype.names or ()

        def columns(prefix: str) -> NDArray[Any]:
            return np.stack([table[name] for name in names if name.startswith(prefix)], axis=1)

        parts = [columns("obs_"), columns("action_"), table["reward"], columns("next_obs_")]
        parts += [table[flag] != 0 for flag in self.flags]
        starts = np.flatnonzero(np.diff(table["episode"])) + 1
        for episode in zip(*(np.split(part, starts) for part in parts), strict=True):
            yield Episode(*episode)


def open_csv(config: "CSVDatasetConfig", env: EnvConfig) -> CSVSource:
    """The data set of `dataset=csv`."""
    return CSVSource(Path(config.path).expanduser())


@rql.register("dataset", "csv", open_csv)
@dataclass
class CSVDatasetConfig(DatasetConfig):
    """A CSV file with a row for each step."""

    path: str = MISSING
    """The file."""
