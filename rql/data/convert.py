"""Episodes of a source, checked and converted to columns."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rql.config.choices import OutsideActions, Unfinished
from rql.data.breaks import breaks
from rql.data.columns import ACTION, NEXT_OBS, OBS, REWARD, TERMINATED, TRUNCATED, Column
from rql.data.episodes import Array, Episode, Source
from rql.data.relabel import AS_IT_IS, Relabelling
from rql.envs.precision import lost
from rql.envs.spaces import DiscreteSpec, Spaces
from rql.utils.errors import DataError
from rql.utils.tree import leaves_of, map_leaves


@dataclass(frozen=True)
class Reading:
    """How a data set is read, whichever it is."""

    spaces: Spaces
    """Of the environment that it is read for."""
    unfinished: Unfinished = Unfinished.refuse
    """What becomes of an episode whose last step has no end flag."""
    actions: OutsideActions = OutsideActions.refuse
    """What becomes of actions outside the bounds of that environment's."""
    step_limit: int | None = None
    """Steps after which that environment ends an episode, if it does."""
    relabelling: Relabelling = AS_IT_IS
    """What becomes of rewards, and of episodes that succeed."""


class Converted(NamedTuple):
    """Some episodes, one after the other."""

    steps: dict[str, Column]
    """(T, …) each, `next_obs` among them."""
    lengths: NDArray[np.int64]
    """(E,)."""
    clipped: int
    """Steps whose action was clipped."""


@dataclass(frozen=True)
class Converter:
    """Converts the episodes of one source for one environment, many at once, for most of them are short.

    Observations of a Box and rewards stay as they are in the source; actions become those of the agent. An episode of
    the source is several ones where it goes on after an end flag, or an observation is not the one that followed.
    """

    source: Source
    reading: Reading

    def convert(self, first: int, episodes: list[Episode]) -> Converted | None:
        """Episodes number `first`, `first` + 1, … as columns; None where all of them are left out.

        Raises:
            DataError: if one cannot be used; it names the source, the key, the episode and the step.
        """
        for index, episode in enumerate(episodes, first):
            self._check_shapes(index, episode, episodes[0])
        episodes = [self._relabelled(index, episode) for index, episode in enumerate(episodes, first)]
        lengths = np.array([len(episode.rewards) for episode in episodes])
        block = Block(first, lengths)
        without_success = [episode[:-1] for episode in episodes]
        columns = Episode(*map_leaves(lambda *parts: np.concatenate([np.asarray(x) for x in parts]), *without_success))
        terminated = self._flags(self.source.flags[0], columns.terminated, block)
        truncated = self._flags(self.source.flags[1], columns.truncated, block)
        actions, clipped = self._actions(columns.actions, block)
        steps = {
            OBS: self._observations("observations", columns.observations, block),
            ACTION: actions,
            REWARD: self._finite("rewards", self._numbers("rewards", columns.rewards).reshape(-1), block),
            NEXT_OBS: self._observations("next observations", columns.next_observations, block),
            TERMINATED: terminated,
            TRUNCATED: truncated,
            **{name: self._finite(name, self._numbers(name, column), block) for name, column in columns.extra.items()},
        }
        ends = terminated | truncated | breaks(steps[OBS], steps[NEXT_OBS])
        ends[np.cumsum(lengths) - 1] = True
        lengths = np.diff(np.flatnonzero(ends), prepend=-1)
        kept = self._kept(terminated, truncated, lengths, block)
        if kept.all():
            return Converted(steps, lengths, int(clipped.sum()))
        chosen = np.repeat(kept, lengths)
        left = {name: column[chosen] for name, column in steps.items()}
        return Converted(left, lengths[kept], int(clipped[chosen].sum())) if kept.any() else None

    def _relabelled(self, index: int, episode: Episode) -> Episode:
        try:
            return self.reading.relabelling(episode)
        except ValueError as error:
            raise self._error(f"episode {index} {error}") from error

    def _check_shapes(self, index: int, episode: Episode, first: Episode) -> None:
        steps = np.size(episode.rewards)
        if not steps:
            raise self._error(f"episode {index} has no steps")
        keys = ("observations", "actions", "rewards", "next observations", *self.source.flags)
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

    def _kept(
        self, terminated: NDArray[np.bool_], truncated: NDArray[np.bool_], lengths: NDArray[np.int64], block: "Block"
    ) -> NDArray[np.bool_]:
        """Which of the episodes of these lengths (E,) stay, those without an end flag as `unfinished` says."""
        last = np.cumsum(lengths) - 1
        finished: NDArray[np.bool_] = terminated[last] | truncated[last]
        unfinished, limit = self.reading.unfinished, self.reading.step_limit
        if unfinished is Unfinished.drop or finished.all():
            return finished
        if unfinished is Unfinished.refuse:
            remedy = "dataset.unfinished=truncate keeps such episodes, drop leaves them out"
            raise self._endless(int(finished.argmin()), lengths, block, remedy)
        if limit is not None and (too_long := ~finished & (lengths > limit)).any():
            remedy = f"the environment ends an episode after {limit:,} steps, so that these are several"
            raise self._endless(int(too_long.argmax()), lengths, block, remedy)
        truncated[last[~finished]] = True
        return np.ones_like(finished)

    def _endless(self, number: int, lengths: NDArray[np.int64], block: "Block", remedy: str) -> DataError:
        """The refusal of the episode with this number, among those of these lengths (E,)."""
        end = int(lengths[: number + 1].sum()) - 1
        episode, step = block.place(end)
        goes_on = step + 1 < block.lengths[episode - block.first]
        why = ", where the next observation is not the one that followed" if goes_on else ""
        either = " nor ".join(self.source.flags)
        what = f"episode {episode} has no end flag at its step {step}, after {lengths[number]:,} steps{why}"
        return self._error(f"{what}: neither {either} is set there ({remedy})")

    def _flags(self, key: str, values: Array, block: "Block") -> NDArray[np.bool_]:
        flags = self._numbers(key, values).reshape(len(values), -1)[:, 0]
        self._refuse((flags != 0) & (flags != 1), key, "neither 0 nor 1", block)
        return flags.astype(np.bool_)

    def _numbers(self, key: str, values: Any) -> Array:
        array = np.asarray(values)
        if array.dtype.kind not in "biuf":
            raise self._error(f"{key} have dtype {array.dtype}, where real numbers are needed")
        if what := lost(array):
            raise self._error(f"{key} lose what they say: {what}")
        return array

    def _actions(self, values: Any, block: "Block") -> tuple[Array, NDArray[np.bool_]]:
        """The actions as the agent sees them (T, …), and which were clipped (T,)."""
        actions, spec = self._numbers("actions", values), self.reading.spaces.action
        found, wanted = actions.size // len(actions), spec.width
        if found != wanted:
            raise self._error(f"actions of episode {block.first} have {found} numbers, the environment's {wanted}")
        converted = self._finite("actions", spec.from_env(actions), block)
        outside, where = spec.outside(converted), f"outside the action space, {spec.bounds},"
        if isinstance(spec, DiscreteSpec):
            self._refuse(outside, "actions", where, block)
        elif self.reading.actions is OutsideActions.clip:
            return np.where(outside[:, None], np.clip(converted, -1.0, 1.0), converted), outside
        self._refuse(outside, "actions", f"{where} which dataset.actions=clip would clip,", block)
        return converted, np.zeros_like(outside)

    def _observations(self, key: str, values: Any, block: "Block") -> Array:
        try:
            stored = self.reading.spaces.observation.stored(map_leaves(lambda leaf: self._numbers(key, leaf), values))
        except (KeyError, IndexError, TypeError) as error:
            wanted = self.reading.spaces.observation.space
            raise self._error(f"{key} of episode {block.first} are not made of {wanted}: {error!r}") from error
        found = int(np.prod(stored.shape[1:]))
        if found != self.reading.spaces.obs_dim:
            dims = f"{found} numbers, the environment's {self.reading.spaces.obs_dim}"
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
            first = int(bad.argmax())
            episode, step = block.place(first)
            of_it = bad[first - step :][: block.lengths[episode - block.first]]
            steps = f"{of_it.sum()} of {len(of_it)} steps, first at step {step}"
            raise self._error(f"{key} of episode {episode} are {what} in {steps}")

    def _error(self, what: str) -> DataError:
        return DataError(f"data set {self.source.label}: {what}")


class Block(NamedTuple):
    """Episodes that are converted together."""

    first: int
    """The number of the first of them."""
    lengths: NDArray[np.int64]

    def place(self, step: int) -> tuple[int, int]:
        """The number of the episode that step `step` of the block belongs to, and its number there."""
        starts = np.cumsum(self.lengths) - self.lengths
        episode = int(np.searchsorted(starts, step, side="right")) - 1
        return self.first + episode, step - int(starts[episode])
