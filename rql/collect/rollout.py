"""Collecting whole episodes in parallel environments."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import numpy as np
from minari.data_collector.episode_buffer import EpisodeBuffer
from numpy.typing import NDArray

from rql.collect.behaviours import Act
from rql.data.journal import Journal
from rql.data.recorder import EpisodeRecorder
from rql.envs.make import AnyVectorEnv
from rql.envs.vector import reported_success
from rql.utils.tree import entry


def collect(
    act: Act,
    envs: AnyVectorEnv,
    journal: Journal,
    steps: int | None,
    episodes: int | None,
    seed: int,
    step_limit: int | None,
    max_steps: int,
    progress: Callable[[], None],
    keep: Callable[[EpisodeBuffer], bool] = lambda episode: True,
    begin: Callable[[NDArray[np.int64]], None] = lambda which: None,
) -> int:
    """Add whole episodes to the journal until it holds so many steps, or episodes.

    Episode i starts from the state of seed `seed` + i; those that the journal holds already are not played again.
    Every episode that has begun is played to its end, so that short ones are not favoured, or to `max_steps`, where it
    is truncated; how many were is returned. No more are begun than it takes if they last as long as those so far, or
    `step_limit` steps at first. Those that are not to `keep` do not count. `begin` is told in which environments one
    begins. `envs` must not reset by themselves.
    """
    seeds = (one for one in count(seed) if one not in journal.seeds)
    rng = np.random.default_rng([seed, journal.episodes])
    recorder = EpisodeRecorder(journal, envs.num_envs, keep)
    playing, lengths = np.zeros(envs.num_envs, dtype=np.bool_), np.zeros(envs.num_envs, dtype=np.int64)
    ended, obs, cut = np.ones_like(playing), None, 0
    while True:
        if ended.any():
            progress()
            obs, playing = _begin(envs, recorder, seeds, ended, playing, lengths, steps, episodes, step_limit)
            begin(np.flatnonzero(ended))
        if not playing.any():
            return cut
        actions = act(obs, rng)
        obs, rewards, terminated, truncated, infos = envs.step(actions)
        success = reported_success(infos)
        lengths += 1
        long = playing & ~terminated & ~truncated & (lengths >= max_steps)
        cut, truncated = cut + int(long.sum()), truncated | long
        for index in np.flatnonzero(playing).tolist():
            flags = bool(terminated[index]), bool(truncated[index])
            reported = None if success is None else float(success[index])
            recorder.step(index, actions[index], entry(obs, index), float(rewards[index]), *flags, reported)
        ended = terminated | truncated


def _begin(
    envs: AnyVectorEnv,
    recorder: EpisodeRecorder,
    seeds: Iterator[int],
    ended: Any,
    playing: Any,
    lengths: Any,
    steps: int | None,
    episodes: int | None,
    step_limit: int | None,
) -> tuple[Any, Any]:
    """Reset where an episode ended; (observations, which environments play an episode that counts).

    An environment that is no longer needed idles along: all of them step together.
    """
    playing = playing & ~ended
    lengths[ended] = 0
    chosen, journal = np.zeros(envs.num_envs, dtype=np.int64), recorder.journal
    expected = journal.steps / journal.episodes if journal.episodes else step_limit or 1
    for index in np.flatnonzero(ended).tolist():
        if episodes is not None:
            playing[index] = journal.episodes + playing.sum() < episodes
        else:
            playing[index] = journal.steps + np.maximum(lengths[playing], expected).sum() < (steps or 0)
        if playing[index]:
            chosen[index] = next(seeds)
    # the base class knows a single seed only; the synchronous and the asynchronous one take a list
    obs, _ = envs.reset(seed=chosen.tolist(), options={"reset_mask": ended})  # type: ignore[arg-type]
    for begun in np.flatnonzero(ended & playing).tolist():
        recorder.begin(begun, obs, int(chosen[begun]))
    return obs, playing
