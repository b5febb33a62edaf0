"""A saved agent as a function from the environment's observations to its actions."""

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rql.agents.agent import Agent, PolicyName
from rql.agents.saving import read_agent, restore_agent
from rql.agents.state import AgentState
from rql.config.schema import Config
from rql.envs.make import inspect_env
from rql.envs.spaces import Spaces, map_leaves
from rql.utils.errors import ConfigError, RQLError


@dataclass(frozen=True)
class SavedAgent:
    """What was saved, on the CPU, and the spaces of the environment it acts in."""

    config: Config
    agent: Agent
    state: AgentState
    spaces: Spaces


class Policy:
    """π_BC or π_final of an agent: `action = policy(obs)`."""

    def __init__(
        self,
        agent: Agent,
        state: AgentState,
        spaces: Spaces,
        which: PolicyName,
        deterministic: bool,
        draws: torch.Generator,
    ) -> None:
        """`draws` lies on the device of `state`, and is not used where the policy is deterministic."""
        self._agent, self._state, self._view = agent, state, spaces
        self._which, self._deterministic, self._draws = which, deterministic, draws

    def __call__(self, obs: Any) -> Any:
        """The environment's action for one of its observations.

        Raises:
            RQLError: if the observation does not have the environment's shape.
        """
        return self.batch(map_leaves(lambda leaf: np.asarray(leaf)[None], obs))[0]

    def batch(self, obs: Any) -> NDArray[Any]:
        """n actions of the environment for n of its observations, stacked leaf by leaf as vectorised environments do.

        Raises:
            RQLError: if the observations do not have the environment's shape.
        """
        spec = self._view.observation
        try:
            flat = spec.flatten(obs)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise RQLError(f"this is no observation of {spec.space}: {type(error).__name__} {error}") from error
        if flat.shape[1] != spec.dim:
            raise RQLError(f"an observation has {spec.dim} numbers here, and this one {flat.shape[1]}")
        action = self.choose(torch.from_numpy(flat).to(self._state.beta.device))
        return self._view.action.to_env(action.cpu().numpy())

    def choose(self, obs: Tensor) -> Tensor:
        """Flat observations (n, obs_dim) → the agent's actions: indices (n,), or (n, d) in [−1, 1]."""
        with torch.inference_mode():
            noise = {} if self._deterministic else self._agent.act_noise(len(obs), self._draws)
            return self._agent.act(self._state, obs, noise, self._which, self._deterministic)


def load_policy(
    path: str | PathLike[str], which: PolicyName = "final", deterministic: bool = True, seed: int = 0
) -> Policy:
    """The policy of a run on the CPU, from its folder or from a file in it such as `agent.pt`.

    Args:
        path: the folder or the file.
        which: `final`, or `bc` for the clone.
        deterministic: at its mode, or sampled.
        seed: of the random numbers of a sampled policy.

    Raises:
        RQLError: if nothing can be read there, or the environment that it was trained in cannot be made here.
    """
    if which not in get_args(PolicyName):
        raise ConfigError("which", which, f"one of {', '.join(get_args(PolicyName))}")
    saved = open_agent(Path(path))
    draws = torch.Generator().manual_seed(seed)
    return Policy(saved.agent, saved.state, saved.spaces, which, deterministic, draws)


def open_agent(path: Path) -> SavedAgent:
    """The agent of a run, from its folder or from a file in it.

    Raises:
        RQLError: as `load_policy`.
    """
    config, tensors = read_agent(path)
    spaces, env = inspect_env(config.env)
    env.close()
    with torch.random.fork_rng(devices=[]):
        agent, state = restore_agent(config, tensors, spaces)
    # of the first stage: π_θ becomes a copy of π_BC only when learning Q_R begins
    return SavedAgent(config, agent, state if state.updates else agent.start_residual(state), spaces)
