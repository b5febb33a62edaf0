"""An agent of residual Q-learning on a batch, for tests of what an update changes."""

from typing import Any

import numpy as np
import torch
from agent_states import first_state, opinionated
from conftest import box_spaces, compose_config
from made_data import CPU, transitions
from torch import Tensor

from rql.agents.rql.agent import RQL
from rql.agents.rql.build import build
from rql.agents.rql.residual import RQLState
from rql.data.batch import Batch
from rql.envs.spaces import ContinuousSpec, DiscreteSpec, Spaces

OBS, BATCH = 3, 8
SPACES = {
    "discrete": box_spaces(OBS, DiscreteSpec(4, 0)),
    "continuous": box_spaces(OBS, ContinuousSpec(-np.ones(2, np.float32), np.ones(2, np.float32), (2,))),
}
CONTINUOUS = SPACES["continuous"]


def batch_of(spaces: Spaces) -> Batch:
    data = transitions(spaces)
    parts = (data.obs, data.action, data.reward, data.next_obs)
    obs, action, reward, next_obs = (torch.from_numpy(part[:BATCH]) for part in parts)
    terminated = torch.tensor([1.0] + [0.0] * (BATCH - 1))
    return Batch(obs, action, reward, next_obs, terminated, steps=torch.ones(BATCH))


class Setup:
    """An agent, its state at the start of learning Q_R, and one update of it."""

    def __init__(self, spaces: Spaces, *overrides: str, seed: int = 0) -> None:
        self.config = compose_config(*overrides)
        self.spaces = spaces
        torch.manual_seed(seed)
        self.agent: RQL = build(self.config, spaces, CPU, 1.0)
        self.hparams = self.agent.hparams("offline", 1)
        self.state = opinionated(self.agent.start_residual(first_state(self.agent, spaces, transitions(spaces))))
        self.batch = batch_of(spaces)
        self.noise = self.agent.update_noise(BATCH, self.hparams, torch.Generator().manual_seed(1))

    def update(self, **changes: Any) -> tuple[RQLState, dict[str, Tensor]]:
        args = {"state": self.state, "hparams": self.hparams, "batch": self.batch, "noise": self.noise} | changes
        return self.agent.update(**args)

    @property
    def policy(self) -> torch.nn.Module:
        """The network of π_BC, and of π_θ."""
        return self.agent.residual.prior.network

    @property
    def critics(self) -> torch.nn.Module:
        """The ensemble Q_R."""
        return self.agent.residual.critics

    def act(self, policy: str, obs: Tensor, noise: Any, deterministic: bool) -> Tensor:
        return self.agent.policies[policy].act(self.state, obs, noise, deterministic)


def leaves(tree: Any) -> list[Tensor]:
    return [leaf for leaf in torch.utils._pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]


def same(one: Any, other: Any) -> bool:
    pairs = zip(leaves(one), leaves(other), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def times(params: dict[str, Tensor], scale: float) -> dict[str, Tensor]:
    """Critics whose values are `scale` times as large."""
    last = max(int(name.split(".")[1]) for name in params)
    return {name: value * scale if name.split(".")[1] == str(last) else value for name, value in params.items()}
