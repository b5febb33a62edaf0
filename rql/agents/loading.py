"""A saved agent as a function from the environment's observations to its actions."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rql.agents.base import Agent
from rql.agents.build import deciding
from rql.agents.plans import Places, Plans
from rql.agents.saving import SavedState, find_agent, read_checkpoint, restore_agent
from rql.config.networks import ChunkConfig
from rql.config.schema import Config
from rql.envs.make import inspect_env
from rql.envs.spaces import ActionSpec, Spaces
from rql.priors.base import EVALUATION, Prior, Proposer, asked_for, open_prior
from rql.utils.errors import ConfigError, RQLError
from rql.utils.tree import map_leaves


@dataclass(frozen=True)
class SavedAgent:
    """A saved agent on the CPU, and the spaces of the environment that it acts in."""

    config: Config
    agent: Agent[Any]
    state: Any
    spaces: Spaces
    prior: Prior | None
    """The policy that it finetunes, where that is not a clone of its own."""

    @property
    def decided(self) -> ActionSpec:
        """What it decides on at once: an action, or several as one."""
        return deciding(self.config, self.spaces).action

    @property
    def main_policy(self) -> str:
        """The policy that the last stage trains."""
        return self.agent.stages[-1].info.policy

    def policy(self, which: str, deterministic: bool, draws: torch.Generator, first: int = EVALUATION) -> "Policy":
        """One of its policies, with random numbers from `draws`; its prior sees slots from `first` on."""
        asking = None
        if self.prior is not None:
            asking = Proposer(self.prior, self.spaces, *asked_for(self.config), draws, first)
        return Policy(self.agent, self.state, self.spaces, self.config.chunk, which, deterministic, draws, asking)

    def close(self) -> None:
        """End what its prior needs."""
        if self.prior is not None:
            self.prior.close()

    def check_policy(self, name: str) -> None:
        """Refuse a policy that the agent does not have.

        Raises:
            ConfigError: with those that it has.
        """
        if name not in self.agent.policies:
            raise ConfigError("policy", name, f"one of {', '.join(self.agent.policies)}")


class Policy:
    """A policy of an agent as a function: `action = policy(obs)`."""

    def __init__(
        self,
        agent: Agent[Any],
        state: Any,
        spaces: Spaces,
        chunk: ChunkConfig,
        which: str,
        deterministic: bool,
        draws: torch.Generator,
        asking: Proposer | None = None,
    ) -> None:
        """`spaces` are those of the environment, of which the agent decides on `chunk.length` actions at once. `draws`
        lies on the device of `state`, and is not used where the policy is deterministic. `asking` is for the prior of
        an agent that finetunes another policy.
        """
        self._plans = Plans(chunk) if chunk.length > 1 else None
        self._policy, self._state, self._spaces = agent.policies[which], state, spaces
        self._deterministic, self._draws, self._asking = deterministic, draws, asking

    def begin(self, which: Sequence[int] | NDArray[np.int64] = (0,)) -> None:
        """Episodes begin at these places of a batch.

        A policy needs to know that decides on several actions at once, or whose prior remembers the last episode.
        """
        places = np.asarray(which, dtype=np.int64)
        if self._asking is not None:
            self._asking.begin(places)
        if self._plans is not None:
            self._plans.begin(places)

    def close(self) -> None:
        """End what its prior needs, such as a process."""
        if self._asking is not None:
            self._asking.close()

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
        spec = self._spaces.observation
        try:
            flat = spec.flatten(obs)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise RQLError(f"this is no observation of {spec.space}: {type(error).__name__} {error}") from error
        if flat.shape[1] != spec.dim:
            raise RQLError(f"an observation has {spec.dim} numbers here, and this one {flat.shape[1]}")
        action = self.choose(torch.from_numpy(flat).to(self._state.updates.device))
        return self._spaces.action.to_env(action.cpu().numpy())

    def choose(self, obs: Tensor, which: Places | None = None) -> Tensor:
        """Flat observations (n, obs_dim) → the agent's actions: indices (n,), or (n, d) in [−1, 1].

        `which` (n,) are their places where they are not those from 0 on.
        """
        if self._plans is None:
            return self.decide(obs, which)
        which = np.arange(len(obs)) if which is None else which
        due = self._plans.due(which)
        seeing = np.arange(len(obs)) if self._asking is not None and self._asking.stateful else due
        if len(seeing):
            decisions = self.decide(obs[seeing], which[seeing]).cpu().numpy()
            self._plans.decide(which[due], decisions[np.isin(seeing, due)])
        return torch.from_numpy(self._plans.next(which)).to(obs.device)

    def decided(self, which: Places) -> NDArray[np.float32]:
        """What is being carried out at these places of an agent that decides on several actions at once: (n, h · d)."""
        assert self._plans is not None
        return self._plans.decided(which)

    def decide(self, obs: Tensor, which: Places | None = None) -> Tensor:
        """Flat observations (n, obs_dim) → the agent's decisions, whatever is being carried out: as `choose`, or
        (n, h · d) of an agent that decides on h actions at once.
        """
        with torch.inference_mode():
            noise = {} if self._deterministic else self._policy.noise(len(obs), self._draws)
            if self._asking is not None:
                noise |= self._asking.given(obs, which)
            return self._policy.act(self._state, obs, noise, self._deterministic)


def load_policy(
    path: str | PathLike[str], which: str | None = None, deterministic: bool = True, seed: int = 0
) -> Policy:
    """The policy of a run on the CPU, from its folder or from a file in it such as `agent.pt`.

    Args:
        path: the folder or the file.
        which: a policy of the agent, such as `bc` for the clone; None is the one that was finetuned.
        deterministic: at its mode, or sampled.
        seed: of the random numbers of a sampled policy.

    Raises:
        RQLError: if nothing can be read there, or the environment that it was trained in cannot be made here.
    """
    saved = open_agent(Path(path))
    which = saved.main_policy if which is None else which
    saved.check_policy(which)
    return saved.policy(which, deterministic, torch.Generator().manual_seed(seed))


def open_agent(path: Path) -> SavedAgent:
    """The agent of a run, from its folder or from a file in it.

    Raises:
        RQLError: as `load_policy`.
    """
    saved = read_checkpoint(find_agent(path))
    spaces, env = inspect_env(saved.config.env)
    try:
        return opened(saved, spaces, env)
    finally:
        env.close()


def opened(saved: SavedState, spaces: Spaces, env: gymnasium.Env[Any, Any]) -> SavedAgent:
    """The agent that was saved, for an environment with these spaces.

    Raises:
        RQLError: if it does not fit them, or the policy that it finetunes cannot be opened or is another one now.
    """
    agent, state = restore_agent(saved, spaces)
    prior = open_prior(saved.config, spaces, env) if saved.config.asks_prior else None
    if prior is not None and prior.digest != saved.prior_digest:
        prior.close()
        raise RQLError(f"the prior {prior.name} changed since it was finetuned")
    return SavedAgent(saved.config, agent, state, spaces, prior)
