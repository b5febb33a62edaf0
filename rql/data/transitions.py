"""A data set as flat arrays with episode boundaries."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from rql.envs.spaces import Spaces, flatten
from rql.errors import DataError

Array = NDArray[Any]


class Episode(NamedTuple):
    """One episode of T steps as its environment saw it."""

    observations: Array
    """(T + 1, ...)."""
    actions: Array
    """(T, ...)."""
    rewards: Array
    terminated: Array
    truncated: Array


@dataclass(frozen=True)
class Reference:
    """The returns that a normalised score of 0 and of 100 stand for."""

    low: float
    high: float

    def score(self, value: float) -> float:
        """D4RL's normalised score (Fu et al. 2020, section 4), times 100."""
        return 100.0 * (value - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Transitions:
    """T transitions of E episodes, one after the other."""

    name: str
    obs: NDArray[np.float32]
    """(T, obs_dim)."""
    action: Array
    """(T,) int64 indices, or (T, d) float32 in [−1, 1]."""
    reward: NDArray[np.float32]
    next_obs: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    starts: NDArray[np.int64]
    """(E,): where each episode begins."""
    reference: Reference | None = None

    def __len__(self) -> int:
        return len(self.reward)

    def returns(self) -> NDArray[np.float64]:
        """The undiscounted return of each episode, (E,)."""
        total: NDArray[np.float64] = np.add.reduceat(self.reward.astype(np.float64), self.starts)
        return total

    def best(self, fraction: float) -> "Transitions":
        """The ⌈fraction · E⌉ episodes of the highest return, in their old order."""
        count = max(1, int(np.ceil(fraction * len(self.starts) - 1e-9)))
        chosen = np.sort(np.argsort(-self.returns(), kind="stable")[:count])
        ends = np.append(self.starts[1:], len(self))
        rows = np.concatenate([np.arange(self.starts[i], ends[i]) for i in chosen])
        lengths = (ends - self.starts)[chosen]
        return Transitions(
            self.name,
            self.obs[rows],
            self.action[rows],
            self.reward[rows],
            self.next_obs[rows],
            self.terminated[rows],
            self.truncated[rows],
            np.concatenate([[0], np.cumsum(lengths)[:-1]]),
            self.reference,
        )


def from_episodes(
    name: str, episodes: Sequence[Episode], view: Spaces, reference: Reference | None = None
) -> Transitions:
    """Episodes as flat arrays, checked.

    Raises:
        DataError: if there is no transition, a value is not finite, an action lies outside the action space, or the
            arrays of an episode do not fit together. It names `name`, the key and the episode.
    """
    if not sum(len(episode.rewards) for episode in episodes):
        raise DataError(f"data set {name} holds no transitions")
    for index, episode in enumerate(episodes):
        _check_lengths(name, index, episode)
    lengths = np.array([len(episode.rewards) for episode in episodes])
    result = Transitions(
        name,
        np.concatenate([flatten(episode.observations[:-1]) for episode in episodes]),
        np.concatenate([view.action.from_env(episode.actions) for episode in episodes]),
        np.concatenate([episode.rewards for episode in episodes]).astype(np.float32),
        np.concatenate([flatten(episode.observations[1:]) for episode in episodes]),
        np.concatenate([episode.terminated for episode in episodes]).astype(np.bool_),
        np.concatenate([episode.truncated for episode in episodes]).astype(np.bool_),
        np.concatenate([[0], np.cumsum(lengths)[:-1]]),
        reference,
    )
    _check_values(result, view)
    return result


def check_spaces(
    name: str,
    of_data: tuple[spaces.Space[Any], spaces.Space[Any]],
    of_env: tuple[spaces.Space[Any], spaces.Space[Any]],
) -> None:
    """Refuse a data set made in another environment: (observation space, action space) of both.

    Raises:
        DataError: with both spaces in its text.
    """
    for kind, data, env in zip(("observations", "actions"), of_data, of_env, strict=True):
        if not _alike(data, env, compare_bounds=kind == "actions"):
            raise DataError(f"data set {name} does not fit the environment: its {kind} are {data}, the env's are {env}")


def _alike(data: spaces.Space[Any], env: spaces.Space[Any], compare_bounds: bool) -> bool:
    if isinstance(data, spaces.Box) and isinstance(env, spaces.Box):
        same = data.shape == env.shape
        if same and compare_bounds:
            return bool(np.allclose(data.low, env.low) and np.allclose(data.high, env.high))
        return same
    return bool(data == env)


def _check_lengths(name: str, index: int, episode: Episode) -> None:
    steps = len(episode.rewards)
    expected = {"observations": steps + 1, "actions": steps, "terminations": steps, "truncations": steps}
    found = [len(episode.observations), len(episode.actions), len(episode.terminated), len(episode.truncated)]
    for (key, wanted), length in zip(expected.items(), found, strict=True):
        if length != wanted:
            raise DataError(f"data set {name}: episode {index} has {steps} rewards but {length} {key}, not {wanted}")


def _check_values(data: Transitions, view: Spaces) -> None:
    columns = {"observations": data.obs, "actions": data.action, "rewards": data.reward}
    columns["observations (next)"] = data.next_obs
    for key, values in columns.items():
        bad = ~np.isfinite(values).reshape(len(data), -1).all(axis=1)
        _refuse(data, bad, f"{key} are not finite (NaN or infinite)")
    _refuse(data, view.action.outside(data.action), "actions lie outside the action space")


def _refuse(data: Transitions, bad: NDArray[np.bool_], what: str) -> None:
    if bad.any():
        first = int(bad.argmax())
        episode = int(np.searchsorted(data.starts, first, side="right")) - 1
        step = first - int(data.starts[episode])
        raise DataError(
            f"data set {data.name}: in {int(bad.sum())} of {len(data)} transitions {what}; "
            f"the first is step {step} of episode {episode}"
        )
