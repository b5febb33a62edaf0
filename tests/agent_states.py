"""The states of agents as training begins."""

from typing import Any

import torch

from rql.agents.statistics import Statistics
from rql.data.batch import IDENTITY
from rql.data.transitions import Transitions
from rql.envs.spaces import Spaces


def first_state(agent: Any, spaces: Spaces, data: Transitions | None = None) -> Any:
    """The state of an agent before any update, on the CPU."""
    cpu = torch.device("cpu")
    return agent.init(Statistics.of(data, 0.99, IDENTITY, cpu) if data else Statistics.unknown(spaces.obs_dim, cpu))


def opinionated(state: Any) -> Any:
    """The state with critics, and their targets, that prefer some actions to others: at first Q_R is 0."""
    params = without_zeros(state.critic.params)
    return state._replace(critic=state.critic._replace(params=params), target=params)


def without_zeros(params: Any) -> Any:
    """Parameters with numbers where all of one are 0."""
    draws = torch.Generator().manual_seed(7)
    return {
        name: value if value.any() else torch.empty_like(value).uniform_(-0.125, 0.125, generator=draws)
        for name, value in params.items()
    }


def started(agent: Any, spaces: Spaces, data: Transitions | None = None) -> Any:
    """The state of an agent as its second stage begins."""
    state = first_state(agent, spaces, data)
    for stage in agent.stages[:2]:
        state = stage.enter(state)
    return state
