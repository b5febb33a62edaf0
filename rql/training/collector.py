"""Acting with π_final in the training environments."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rql.agents.agent import Agent
from rql.agents.state import AgentState
from rql.data.replay import RowLayout
from rql.envs.make import AnyVectorEnv
from rql.envs.spaces import Spaces, flatten


class Collector:
    """Steps vectorised environments that reset within the step in which an episode ends."""

    def __init__(
        self,
        agent: Agent,
        envs: AnyVectorEnv,
        view: Spaces,
        layout: RowLayout,
        generator: torch.Generator,
        seed: int,
    ) -> None:
        self._agent, self._envs, self._view = agent, envs, view
        self._layout, self._generator = layout, generator
        self._obs = flatten(envs.reset(seed=seed)[0])
        self._returns = np.zeros(envs.num_envs)

    def step(self, state: AgentState) -> tuple[Tensor, list[float]]:
        """One step of every environment: its transitions as rows, and the returns of the episodes that ended."""
        noise = self._agent.act_noise(len(self._obs), self._generator)
        obs = torch.from_numpy(self._obs).to(self._generator.device)
        action = self._agent.act(state, obs, noise, "final", deterministic=False).cpu().numpy()
        following, reward, terminated, truncated, infos = self._envs.step(self._view.action.to_env(action))
        done = terminated | truncated
        rows = self._layout.pack(self._obs, action, reward, _last_observations(following, done, infos), terminated)
        self._obs = flatten(following)
        self._returns += reward
        finished = [float(value) for value in self._returns[done]]
        self._returns[done] = 0.0
        return rows.to(self._generator.device), finished


def _last_observations(following: NDArray[Any], done: NDArray[np.bool_], infos: dict[str, Any]) -> NDArray[np.float32]:
    """s' of each transition: where an episode ended, its own last observation and not the first of the next one."""
    result = flatten(following)
    if done.any():
        result = result.copy()
        for index in np.flatnonzero(done):
            result[index] = np.asarray(infos["final_obs"][index], dtype=np.float32).reshape(-1)
    return result
