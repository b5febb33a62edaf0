"""Episodes as a source has them, checked and packed to rows."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from numpy.typing import NDArray

from rql.config.choices import Unfinished
from rql.data.rows import RowLayout, Rows
from rql.data.transitions import Reference
from rql.envs.spaces import Spaces, leaves_of, map_leaves
from rql.errors import DataError

Array = NDArray[Any]


class Episode(NamedTuple):
    """One episode of T steps as its environment saw it."""

    observations: Any
    """(T, ...), in dictionaries and tuples where the space is one."""
    actions: Array
    """(T, ...)."""
    rewards: Array
    next_observations: Any
    """(T, ...)."""
    terminated: Array
    truncated: Array


SpacePair = tuple[spaces.Space[Any], spaces.Space[Any]]
"""(observation space, action space)."""


class Source(ABC):
    """A data set where it lies."""

    name: str
    """As the user calls it."""
    label: str
    """Name and place, for messages."""
    files: list[Path]
    """What its content depends on."""
    flags: tuple[str, str]
    """How it calls terminated and truncated."""
    spaces: SpacePair | None = None
    """Where it knows them."""
    env_spec: EnvSpec | None = None
    """The environment that it was made in, where it knows it."""
    reference: Reference | None = None

    @abstractmethod
    def episodes(self) -> Iterator[Episode]:
        """Its episodes, one at a time.

        Raises:
            DataError: if they cannot be read.
        """


@dataclass(frozen=True)
class Packer:
    """Packs the episodes of one source for one environment."""

    label: str
    flags: tuple[str, str]
    view: Spaces
    unfinished: Unfinished

    def pack(self, index: int, episode: Episode) -> tuple[Rows, NDArray[np.bool_]] | None:
        """The rows (T, width) and the truncation flags (T,) of episode `index`, or None where it is dropped.

        Raises:
            DataError: if the episode cannot be used; it names the source, the key, the episode and the step.
        """
        steps = len(episode.rewards)
        self._check_lengths(index, episode, steps)
        terminated = self._flags(index, self.flags[0], episode.terminated)
        truncated = self._flags(index, self.flags[1], episode.truncated)
        if not (terminated[-1] or truncated[-1]):
            if self.unfinished is Unfinished.drop:
                return None
            if self.unfinished is Unfinished.refuse:
                either = " nor ".join(self.flags)
                what = f"episode {index} of {steps} steps has no end flag: neither {either} is set at its last step"
                raise self._error(f"{what} (dataset.unfinished=truncate keeps such episodes, drop leaves them out)")
            truncated[-1] = True
        columns = {
            "observations": self._observations(index, "observations", episode.observations),
            "actions": self._actions(index, episode.actions),
            "rewards": self._numbers(index, "rewards", episode.rewards).astype(np.float32),
            "next observations": self._observations(index, "next observations", episode.next_observations),
        }
        self._check_values(index, columns)
        obs, action, reward, next_obs = columns.values()
        return RowLayout.of(self.view).pack(obs, action, reward, next_obs, terminated), truncated

    def _check_lengths(self, index: int, episode: Episode, steps: int) -> None:
        if not steps:
            raise self._error(f"episode {index} has no steps")
        columns = {
            "actions": episode.actions,
            "observations": episode.observations,
            "next observations": episode.next_observations,
            self.flags[0]: episode.terminated,
            self.flags[1]: episode.truncated,
        }
        for key, column in columns.items():
            wrong = [len(leaf) for leaf in leaves_of(column) if len(leaf) != steps]
            if wrong:
                raise self._error(f"episode {index} has {steps} rewards, but {key} of length {wrong[0]}")

    def _flags(self, index: int, key: str, values: Array) -> NDArray[np.bool_]:
        flags = self._numbers(index, key, values).reshape(-1)
        if not np.isin(flags, (0, 1)).all():
            raise self._error(f"{key} of episode {index} are not all 0 or 1")
        return flags.astype(np.bool_)

    def _numbers(self, index: int, key: str, values: Any) -> Array:
        array = np.asarray(values)
        if not (np.issubdtype(array.dtype, np.number) or array.dtype == np.bool_) or np.iscomplexobj(array):
            raise self._error(f"{key} of episode {index} have dtype {array.dtype}, where real numbers are needed")
        return array

    def _actions(self, index: int, values: Any) -> Array:
        actions = self._numbers(index, "actions", values)
        found, wanted = actions.size // len(actions), self.view.action.width
        if found != wanted:
            raise self._error(f"actions of episode {index} have {found} numbers, the environment's {wanted}")
        return self.view.action.from_env(actions)

    def _observations(self, index: int, key: str, values: Any) -> NDArray[np.float32]:
        try:
            flat = self.view.observation.flatten(map_leaves(lambda leaf: self._numbers(index, key, leaf), values))
        except (KeyError, IndexError, TypeError) as error:
            wanted = self.view.observation.space
            raise self._error(f"{key} of episode {index} are not made of {wanted}: {error!r}") from error
        if flat.shape[1] != self.view.obs_dim:
            found, wanted_dim = flat.shape[1], self.view.obs_dim
            raise self._error(f"{key} of episode {index} have {found} numbers, the environment's {wanted_dim}")
        return flat

    def _check_values(self, index: int, columns: dict[str, Any]) -> None:
        for key, values in columns.items():
            self._refuse(index, ~np.isfinite(values).reshape(len(values), -1).all(axis=1), key, "not finite")
        outside = self.view.action.outside(columns["actions"])
        self._refuse(index, outside, "actions", f"outside the action space, {self.view.action.bounds}")

    def _refuse(self, index: int, bad: NDArray[np.bool_], key: str, what: str) -> None:
        if bad.any():
            steps = f"{int(bad.sum())} of {len(bad)} steps, first at step {int(bad.argmax())}"
            raise self._error(f"{key} of episode {index} are {what} in {steps}")

    def _error(self, what: str) -> DataError:
        return DataError(f"data set {self.label}: {what}")
