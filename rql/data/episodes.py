"""Episodes as a source has them, checked and converted to columns."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces as gym_spaces
from gymnasium.envs.registration import EnvSpec
from numpy.typing import NDArray

from rql.config.choices import Unfinished
from rql.data.columns import ACTION, NEXT_OBS, OBS, REWARD, TERMINATED, TRUNCATED, Column
from rql.data.transitions import Reference
from rql.envs.spaces import Spaces
from rql.utils.errors import DataError
from rql.utils.tree import leaves_of, map_leaves

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
    extra: Mapping[str, Array] = {}
    """Further columns by name, (T, ...) each."""


SpacePair = tuple[gym_spaces.Space[Any], gym_spaces.Space[Any]]
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


class Converted(NamedTuple):
    """Some episodes, one after the other."""

    steps: dict[str, Column]
    """(T, …) each, `next_obs` among them."""
    lengths: NDArray[np.int64]
    """(E,)."""


@dataclass(frozen=True)
class Converter:
    """Converts the episodes of one source for one environment, many at once, for most of them are short.

    Observations of a Box and rewards stay as they are in the source; actions become those of the agent.
    """

    label: str
    flags: tuple[str, str]
    spaces: Spaces
    unfinished: Unfinished

    def convert(self, first: int, episodes: list[Episode]) -> Converted | None:
        """Episodes number `first`, `first` + 1, … as columns; None where all of them are left out.

        Raises:
            DataError: if one cannot be used; it names the source, the key, the episode and the step.
        """
        for index, episode in enumerate(episodes, first):
            self._check_shapes(index, episode, episodes[0])
        lengths = np.array([len(episode.rewards) for episode in episodes])
        block = Block(first, lengths)
        columns: Episode = map_leaves(lambda *parts: np.concatenate([np.asarray(part) for part in parts]), *episodes)
        terminated = self._flags(self.flags[0], columns.terminated, block)
        truncated = self._flags(self.flags[1], columns.truncated, block)
        kept = self._kept(terminated, truncated, block)
        steps = {
            OBS: self._observations("observations", columns.observations, block),
            ACTION: self._actions(columns.actions, block),
            REWARD: self._finite("rewards", self._numbers("rewards", columns.rewards).reshape(-1), block),
            NEXT_OBS: self._observations("next observations", columns.next_observations, block),
            TERMINATED: terminated,
            TRUNCATED: truncated,
            **{name: self._finite(name, self._numbers(name, column), block) for name, column in columns.extra.items()},
        }
        if kept.all():
            return Converted(steps, lengths)
        chosen = np.repeat(kept, lengths)
        left = {name: column[chosen] for name, column in steps.items()}
        return Converted(left, lengths[kept]) if kept.any() else None

    def _check_shapes(self, index: int, episode: Episode, first: Episode) -> None:
        steps = np.size(episode.rewards)
        if not steps:
            raise self._error(f"episode {index} has no steps")
        keys = ("observations", "actions", "rewards", "next observations", *self.flags)
        if episode.extra.keys() != first.extra.keys():
            raise self._error(f"episode {index} has other columns than those before")
        named = [
            *zip(keys, episode, first, strict=False),
            *((k, episode.extra[k], first.extra[k]) for k in first.extra),
        ]
        for key, column, other in named:
            for leaf, like in zip(leaves_of(column), leaves_of(other), strict=True):
                shape = np.shape(leaf)
                if not shape or shape[0] != steps:
                    raise self._error(f"episode {index} has {steps} rewards, but {key} of shape {shape}")
                if shape[1:] != np.shape(like)[1:] or np.asarray(leaf).dtype.kind != np.asarray(like).dtype.kind:
                    raise self._error(f"{key} of episode {index} are of another shape or type than those before")

    def _kept(self, terminated: NDArray[np.bool_], truncated: NDArray[np.bool_], block: "Block") -> NDArray[np.bool_]:
        """Which episodes stay (E,), those without an end flag as `unfinished` says."""
        last = np.cumsum(block.lengths) - 1
        finished: NDArray[np.bool_] = terminated[last] | truncated[last]
        if self.unfinished is Unfinished.drop or finished.all():
            return finished
        if self.unfinished is Unfinished.refuse:
            wrong = int(finished.argmin())
            either = " nor ".join(self.flags)
            what = f"episode {block.first + wrong} of {block.lengths[wrong]} steps has no end flag"
            remedy = "dataset.unfinished=truncate keeps such episodes, drop leaves them out"
            raise self._error(f"{what}: neither {either} is set at its last step ({remedy})")
        truncated[last[~finished]] = True
        return np.ones_like(finished)

    def _flags(self, key: str, values: Array, block: "Block") -> NDArray[np.bool_]:
        flags = self._numbers(key, values).reshape(len(values), -1)[:, 0]
        self._refuse((flags != 0) & (flags != 1), key, "neither 0 nor 1", block)
        return flags.astype(np.bool_)

    def _numbers(self, key: str, values: Any) -> Array:
        array = np.asarray(values)
        if array.dtype.kind not in "biuf":
            raise self._error(f"{key} have dtype {array.dtype}, where real numbers are needed")
        return array

    def _actions(self, values: Any, block: "Block") -> Array:
        actions = self._numbers("actions", values)
        found, wanted = actions.size // len(actions), self.spaces.action.width
        if found != wanted:
            raise self._error(f"actions of episode {block.first} have {found} numbers, the environment's {wanted}")
        converted = self._finite("actions", self.spaces.action.from_env(actions), block)
        self._refuse(
            self.spaces.action.outside(converted),
            "actions",
            f"outside the action space, {self.spaces.action.bounds},",
            block,
        )
        return converted

    def _observations(self, key: str, values: Any, block: "Block") -> Array:
        try:
            stored = self.spaces.observation.stored(map_leaves(lambda leaf: self._numbers(key, leaf), values))
        except (KeyError, IndexError, TypeError) as error:
            wanted = self.spaces.observation.space
            raise self._error(f"{key} of episode {block.first} are not made of {wanted}: {error!r}") from error
        found = int(np.prod(stored.shape[1:]))
        if found != self.spaces.obs_dim:
            dims = f"{found} numbers, the environment's {self.spaces.obs_dim}"
            raise self._error(f"{key} of episode {block.first} have {dims}")
        return self._finite(key, stored, block)

    def _finite(self, key: str, column: Array, block: "Block") -> Array:
        """The column, if its numbers are finite as float32 too, which the agent sees."""
        if column.dtype.kind == "f":
            with np.errstate(over="ignore"):
                numbers = column.astype(np.float32, copy=False).reshape(len(column), -1)
            self._refuse(~np.all(np.isfinite(numbers), axis=1), key, "not finite", block)
        return column

    def _refuse(self, bad: NDArray[np.bool_], key: str, what: str, block: "Block") -> None:
        if bad.any():
            starts = np.cumsum(block.lengths) - block.lengths
            step = int(bad.argmax())
            episode = int(np.searchsorted(starts, step, side="right")) - 1
            of_it = bad[starts[episode] : starts[episode] + block.lengths[episode]]
            steps = f"{of_it.sum()} of {len(of_it)} steps, first at step {step - starts[episode]}"
            raise self._error(f"{key} of episode {block.first + episode} are {what} in {steps}")

    def _error(self, what: str) -> DataError:
        return DataError(f"data set {self.label}: {what}")


class Block(NamedTuple):
    """Episodes that are converted together."""

    first: int
    """The number of the first of them."""
    lengths: NDArray[np.int64]
