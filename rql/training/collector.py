"""Acting with a policy in the training environments."""

import logging
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rql.agents.base import Agent
from rql.data.recorder import EpisodeRecorder
from rql.data.rows import RowLayout
from rql.data.transitions import RewardTransform
from rql.envs.spaces import Spaces
from rql.envs.training import RestartError, TrainingEnvs
from rql.envs.vector import last_observations
from rql.training.n_step import NStep

DROPPED = "the state of these environments cannot be saved: the running episodes are dropped and new ones begin"
logger = logging.getLogger(__name__)


class Collected(NamedTuple):
    """What one step of every environment brought."""

    rows: Tensor
    """(m, width): the transitions that are now whole, with the rewards that Q_R learns from."""
    returns: list[float]
    """Of the episodes that ended, as the environment pays them."""


class Collector:
    """Steps vectorised environments that reset within the step in which an episode ends."""

    def __init__(
        self,
        agent: Agent[Any],
        envs: TrainingEnvs,
        spaces: Spaces,
        reward: RewardTransform,
        n_step: NStep,
        generator: torch.Generator,
        recorder: EpisodeRecorder | None,
    ) -> None:
        self._agent, self._envs, self._view, self._reward = agent, envs, spaces, reward
        self._layout, self._generator, self._recorder = RowLayout.of(spaces), generator, recorder
        self._n_step = n_step
        self._obs: NDArray[np.float32] | None = None
        self._returns = np.zeros(envs.num_envs)

    def step(self, state: Any, policy: str) -> Collected:
        """One step of every environment. Where they had to be restarted, it brings nothing."""
        if self._obs is None:
            self._begin(self._envs.reset())
        assert self._obs is not None
        acting = self._agent.policies[policy]
        noise = acting.noise(self._envs.num_envs, self._generator)
        obs = torch.from_numpy(self._obs).to(self._generator.device)
        action = acting.act(state, obs, noise, False).cpu().numpy()
        native_action = self._view.action.to_env(action)
        try:
            native, reward, terminated, truncated, infos = self._envs.step(native_action)
        except RestartError as restarted:
            self._begin(restarted.obs)
            return Collected(torch.zeros((0, self._layout.width), device=self._generator.device), [])
        if self._recorder:
            self._recorder.follow(native_action, native, reward, terminated, truncated, infos)
        done = terminated | truncated
        following = self._view.observation.flatten(native)
        next_obs = last_observations(self._view.observation, following, done, infos)
        rows = self._layout.pack(self._obs, action, self._reward(reward), next_obs, terminated)
        self._obs = following
        return Collected(self._stored(rows, done), self._finished(reward, done))

    def saved_state(self) -> dict[str, Any]:
        """All that decides how the collection goes on."""
        return {
            "obs": self._obs,
            "returns": self._returns,
            "n_step": self._n_step.saved_state(),
            "generator": self._generator.get_state(),
            "envs": self._envs.saved_state(),
            "recorder": self._recorder.saved_state() if self._recorder else None,
        }

    def load(self, saved: dict[str, Any], drop_seed: int) -> None:
        """Go on from `saved_state`; `drop_seed` is for environments whose episodes cannot be gone on with."""
        self._generator.set_state(saved["generator"])
        if self._recorder and saved["recorder"]:
            self._recorder.load(saved["recorder"])
        first = self._envs.load(saved["envs"], drop_seed)
        if first is None:
            self._obs, self._returns = saved["obs"], saved["returns"]
            self._n_step.load(saved["n_step"])
        else:
            logger.warning(DROPPED)
            self._begin(first)

    def _begin(self, native: Any) -> None:
        """Every environment is at the start of an episode; what it was in the middle of is dropped."""
        self._obs = self._view.observation.flatten(native)
        self._returns[:] = 0.0
        self._n_step.drop()
        if self._recorder:
            self._recorder.drop()
            for index in range(self._envs.num_envs):
                self._recorder.begin(index, native)

    def _stored(self, rows: NDArray[np.float32], done: NDArray[np.bool_]) -> Tensor:
        return torch.from_numpy(self._n_step.add(rows, done)).to(self._generator.device)

    def _finished(self, reward: NDArray[Any], done: NDArray[np.bool_]) -> list[float]:
        self._returns += reward
        finished = [float(value) for value in self._returns[done]]
        self._returns[done] = 0.0
        return finished
