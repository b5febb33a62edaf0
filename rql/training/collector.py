"""Acting with π_final in the training environments."""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rql.agents.agent import Agent, PolicyName
from rql.agents.state import AgentState
from rql.data.recorder import EpisodeRecorder
from rql.data.rows import RowLayout
from rql.data.transitions import RewardTransform
from rql.envs.make import AnyVectorEnv
from rql.envs.spaces import Spaces
from rql.envs.vector import last_observations
from rql.training.n_step import NStep


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
        agent: Agent,
        envs: AnyVectorEnv,
        view: Spaces,
        reward: RewardTransform,
        n_step: NStep,
        generator: torch.Generator,
        seed: int,
        recorder: EpisodeRecorder | None,
    ) -> None:
        self._agent, self._envs, self._view, self._reward = agent, envs, view, reward
        self._layout, self._generator, self._recorder = RowLayout.of(view), generator, recorder
        self._n_step = n_step
        native, _ = envs.reset(seed=seed)
        if recorder:
            for index in range(envs.num_envs):
                recorder.begin(index, native)
        self._obs = view.observation.flatten(native)
        self._returns = np.zeros(envs.num_envs)

    def step(self, state: AgentState, policy: PolicyName) -> Collected:
        """One step of every environment."""
        noise = self._agent.act_noise(len(self._obs), self._generator)
        obs = torch.from_numpy(self._obs).to(self._generator.device)
        action = self._agent.act(state, obs, noise, policy, deterministic=False).cpu().numpy()
        native_action = self._view.action.to_env(action)
        native, reward, terminated, truncated, infos = self._envs.step(native_action)
        if self._recorder:
            self._recorder.follow(native_action, native, reward, terminated, truncated, infos)
        done = terminated | truncated
        following = self._view.observation.flatten(native)
        next_obs = last_observations(self._view.observation, following, done, infos)
        rows = self._layout.pack(self._obs, action, self._reward(reward), next_obs, terminated)
        self._obs = following
        return Collected(self._stored(rows, done), self._finished(reward, done))

    def _stored(self, rows: NDArray[np.float32], done: NDArray[np.bool_]) -> Tensor:
        return torch.from_numpy(self._n_step.add(rows, done)).to(self._generator.device)

    def _finished(self, reward: NDArray[Any], done: NDArray[np.bool_]) -> list[float]:
        self._returns += reward
        finished = [float(value) for value in self._returns[done]]
        self._returns[done] = 0.0
        return finished
