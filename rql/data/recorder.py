"""Keeping the episodes of vectorised environments as they were."""

from collections.abc import Callable
from typing import Any

import numpy as np
from minari.data_collector.episode_buffer import EpisodeBuffer

from rql.data.journal import Journal, infos_of
from rql.envs.vector import success_of_steps
from rql.utils.tree import entry, map_leaves


class EpisodeRecorder:
    """Follows each environment and hands whole episodes to a journal."""

    def __init__(
        self, journal: Journal, num_envs: int, keep: Callable[[EpisodeBuffer], bool] = lambda episode: True
    ) -> None:
        """Episodes that are not to `keep` are dropped at their end."""
        self.journal, self._keep = journal, keep
        self._running: list[_Running | None] = [None] * num_envs

    def begin(self, index: int, observations: Any, seed: int | None = None) -> None:
        """Environment `index` begins an episode with its entry of `observations`."""
        self._running[index] = _Running(seed, [entry(observations, index)])

    def drop(self) -> None:
        """Forget the running episodes, which will never end."""
        self._running = [None] * len(self._running)

    def saved_state(self) -> dict[str, Any]:
        """How many episodes are in the journal, and the running ones."""
        return {"episodes": self.journal.episodes, "running": [running and vars(running) for running in self._running]}

    def load(self, saved: dict[str, Any]) -> None:
        """Go on from `saved_state`: later episodes leave the journal, for they will be played again."""
        self.journal.cut(saved["episodes"])
        for index, fields in enumerate(saved["running"]):
            self._running[index] = running = _Running(None, [])
            vars(running).update(fields)

    def step(
        self,
        index: int,
        action: Any,
        observation: Any,
        reward: float,
        terminated: bool,
        truncated: bool,
        success: float | None,
    ) -> None:
        """Environment `index` took `action` and came to `observation`, its own last one where the episode ends.

        `success` is 1 or 0, and None where it says nothing of it.
        """
        running = self._running[index]
        assert running is not None
        running.observations.append(observation)
        running.actions.append(action)
        running.rewards.append(reward)
        running.terminations.append(terminated)
        running.truncations.append(truncated)
        if success is not None:
            running.successes.append(bool(success))
        if terminated or truncated:
            episode = running.episode()
            if self._keep(episode):
                self.journal.append(episode)
            self._running[index] = None

    def follow(
        self, actions: Any, observations: Any, rewards: Any, terminated: Any, truncated: Any, infos: dict[str, Any]
    ) -> None:
        """One step of all environments, which reset within the step in which an episode ends."""
        done = terminated | truncated
        success = success_of_steps(done, infos)
        for index, ended in enumerate(done):
            last = infos["final_obs"][index] if ended else entry(observations, index)
            flags = bool(terminated[index]), bool(truncated[index])
            reported = None if success is None else float(success[index])
            self.step(index, actions[index], last, float(rewards[index]), *flags, reported)
            if ended:
                self.begin(index, observations)


class _Running:
    """An episode that goes on."""

    def __init__(self, seed: int | None, observations: list[Any]) -> None:
        self.seed, self.observations = seed, observations
        self.actions, self.rewards = list[Any](), list[float]()
        self.terminations, self.truncations, self.successes = list[bool](), list[bool](), list[bool]()

    def episode(self) -> EpisodeBuffer:
        """The whole episode."""
        return EpisodeBuffer(
            seed=self.seed,
            observations=map_leaves(lambda *steps: np.stack(steps), *self.observations),
            actions=np.stack(self.actions),
            rewards=self.rewards,
            terminations=self.terminations,
            truncations=self.truncations,
            infos=infos_of(self.successes) if len(self.successes) == len(self.rewards) else None,
        )
