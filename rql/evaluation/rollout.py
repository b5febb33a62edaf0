"""Playing episodes to their end in parallel environments."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rql.data.batch import RewardTransform
from rql.envs.guarded import GuardedEnvs
from rql.envs.make import AnyVectorEnv
from rql.envs.spaces import Spaces
from rql.envs.vector import reported_success

Policy = Callable[[Tensor], Tensor]
"""Observations (n, obs_dim) → actions (n,) or (n, d)."""
Begin = Callable[[NDArray[np.int64]], None]
"""Told in which environments episodes begin."""


EPISODE_COLUMNS = ("mode", "seed", "return", "length", "success")
"""The names of the fields of an `Episode` in tables."""


class Episode(NamedTuple):
    """One episode of an evaluation."""

    mode: str
    """How the policy acted: `mode` or `sample`."""
    seed: int
    """With which the environment was reset."""
    value: float
    length: int
    success: float | None
    """1 or 0; None where the environment reports none."""


@dataclass
class EpisodeResults:
    """One entry an episode, in the order of their seeds."""

    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]
    successes: NDArray[np.float64] | None
    """Whether the environment reported success at any step; None where it reports none."""
    discounted: NDArray[np.float64]
    """The discounted return from the start state, of the rewards that Q_R learns from."""
    first_obs: NDArray[np.float32]
    """(episodes, obs_dim)."""
    first_action: NDArray[Any]
    """(episodes,) or (episodes, d), as the policy chose it; (episodes, h · d) of one that decides on h at once."""
    cut: int = 0
    """Episodes that were cut off before the environment ended them."""

    @classmethod
    def none_yet(cls, episodes: int, obs: NDArray[np.float32], action: NDArray[Any]) -> "EpisodeResults":
        """Results of so many episodes that have not begun, for observations and actions like these, (n, …)."""
        first_obs, first_action = (np.zeros((episodes, *like.shape[1:]), like.dtype) for like in (obs, action))
        lengths = np.zeros(episodes, dtype=np.int64)
        return cls(np.zeros(episodes), lengths, None, np.zeros(episodes), first_obs, first_action)

    def begin(self, episode: NDArray[np.int64], obs: NDArray[np.float32], action: NDArray[Any]) -> None:
        """Keep what the episodes (n,) begin with, of those that are at their first step."""
        fresh = self.lengths[episode] == 0
        self.first_obs[episode[fresh]], self.first_action[episode[fresh]] = obs[fresh], action[fresh]

    def step(
        self,
        episode: NDArray[np.int64],
        reward: NDArray[Any],
        discounted: NDArray[Any],
        success: NDArray[np.float64] | None,
    ) -> None:
        """Add a step of the episodes (n,)."""
        self.returns[episode] += reward
        self.discounted[episode] += discounted
        self.lengths[episode] += 1
        if success is not None:
            before = np.zeros_like(self.returns) if self.successes is None else self.successes
            before[episode] = np.maximum(before[episode], success)
            self.successes = before

    def episodes(self, mode: str, seed: int) -> list[Episode]:
        """A row an episode, of which the first began with `seed`, and the next with the next."""
        successes = [None] * len(self.returns) if self.successes is None else self.successes.tolist()
        columns = zip(self.returns.tolist(), self.lengths.tolist(), successes, strict=True)
        return [Episode(mode, seed + number, *row) for number, row in enumerate(columns)]

    def metrics(self) -> dict[str, float]:
        """The figures of the record; `return_std` is over episodes."""
        summary = {
            "return": float(self.returns.mean()),
            "return_std": float(self.returns.std()),
            "return_min": float(self.returns.min()),
            "return_max": float(self.returns.max()),
            "return_episodes": float(len(self.returns)),
            "episode_length": float(self.lengths.mean()),
        }
        if self.successes is not None:
            summary["success_rate"] = float(self.successes.mean())
        return summary


def play(
    policy: Policy,
    envs: AnyVectorEnv | GuardedEnvs,
    spaces: Spaces,
    episodes: int,
    seed: int,
    reward_transform: RewardTransform,
    discount: float,
    device: torch.device,
    step_limit: int,
    check: Callable[[], None] = lambda: None,
    begin: Begin = lambda which: None,
    decided: Callable[[NDArray[np.int64]], NDArray[Any]] | None = None,
) -> EpisodeResults:
    """Play episodes 0, 1, …, `episodes` − 1, episode i from the start state of seed `seed` + i.

    An environment that finishes takes the next episode that no other has begun, so that every episode counts,
    however long it is, up to `step_limit` steps. `envs` must not reset by themselves. `check` is called before every
    step, and may raise; `begin` is told in which environments episodes begin. `decided` gives the decisions there of a
    policy that decides on several actions at once.
    """
    count = envs.num_envs
    episode = np.arange(count)
    obs = _reset(envs, episode, seed, np.ones(count, dtype=np.bool_), begin)
    results: EpisodeResults | None = None
    while (episode < episodes).any():
        check()
        flat = spaces.observation.flatten(obs)
        action = policy(torch.from_numpy(flat).to(device)).cpu().numpy()
        chosen = action if decided is None else decided(np.arange(count))
        results = results or EpisodeResults.none_yet(episodes, flat, chosen)
        playing = episode < episodes
        results.begin(episode[playing], flat[playing], chosen[playing])
        obs, reward, terminated, truncated, infos = envs.step(spaces.action.to_env(action))
        learned = reward_transform(reward) * discount ** results.lengths[np.minimum(episode, episodes - 1)]
        success = reported_success(infos)
        results.step(episode[playing], reward[playing], learned[playing], None if success is None else success[playing])
        done = terminated | truncated
        long = playing & ~done & (results.lengths[np.minimum(episode, episodes - 1)] >= step_limit)
        results.cut += int(long.sum())
        if (done := done | long).any():
            episode[done] = episode.max() + 1 + np.arange(done.sum())
            obs = _reset(envs, episode, seed, done, begin)
    assert results is not None
    return results


def _reset(
    envs: AnyVectorEnv | GuardedEnvs, episode: NDArray[np.int64], seed: int, mask: NDArray[np.bool_], begin: Begin
) -> Any:
    """Begin the episodes of the environments in `mask`; the others keep their observation."""
    begin(np.flatnonzero(mask))
    seeds = [seed + int(index) for index in episode]
    # the base class knows a single seed only; the synchronous and the asynchronous one take a list
    return envs.reset(seed=seeds, options={"reset_mask": mask})[0]  # type: ignore[arg-type]
