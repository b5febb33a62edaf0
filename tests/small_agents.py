"""Small published agents of random weights, and what tests compute by hand for them."""

from functools import reduce
from typing import Any

import numpy as np
import torch
from agent_states import first_state
from conftest import box_spaces, with_agent
from torch import Tensor
from torch.distributions import Normal, TanhTransform, TransformedDistribution

from rql.agents.build import build_agent
from rql.data.batch import MC_RETURN, NEXT_ACTION, Batch
from rql.envs.spaces import ContinuousSpec

OBS, DIMS, ROWS, DISCOUNT = 3, 2, 6, 0.9
SPACES = box_spaces(OBS, ContinuousSpec(-np.ones(DIMS, np.float32), np.ones(DIMS, np.float32), (DIMS,)))
SMALL = ["network.actor.hidden=[8]", "network.critic.hidden=[8]", f"q.discount={DISCOUNT}"]


def agent_of(name: str, *changes: tuple[str, Any]) -> tuple[Any, Any]:
    """An agent of random weights, and its first state."""
    config = with_agent(name, *SMALL)
    for key, value in changes:
        *sections, field = key.split(".")
        setattr(reduce(getattr, sections, config), field, value)
    torch.manual_seed(0)
    agent: Any = build_agent(config, SPACES, torch.device("cpu"))
    return agent, first_state(agent, SPACES)


def drawn(policy: Any, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Actions of a squashed Gaussian with their log densities, as torch's own distributions have them."""
    action = (policy.mean + policy.log_std.exp() * noise).tanh()
    law: Any = TransformedDistribution(Normal(policy.mean, policy.log_std.exp()), [TanhTransform()])
    return action, law.log_prob(action).sum(-1)


def two_step_batch() -> Batch:
    """Transitions of two steps. The first episode ended, the second was cut off."""
    draws = torch.Generator().manual_seed(1)
    obs, next_obs = (torch.randn(ROWS, OBS, generator=draws) for _ in range(2))
    action, following = (torch.rand(ROWS, DIMS, generator=draws) * 1.8 - 0.9 for _ in range(2))
    reward, terminated = torch.randn(ROWS, generator=draws), torch.eye(ROWS)[0]
    goes_on = 1.0 - terminated - torch.eye(ROWS)[1]
    extra = {MC_RETURN: 5.0 * reward, NEXT_ACTION: following, f"{NEXT_ACTION}_mask": goes_on}
    return Batch(obs, action, reward, next_obs, terminated, torch.full((ROWS,), 2.0), extra)
