"""The agent that a configuration asks for."""

from typing import Any

import torch

from rql.agents.base import Agent
from rql.config.registry import implementation_of
from rql.config.schema import Config
from rql.envs.spaces import Spaces


def build_agent(config: Config, spaces: Spaces, device: torch.device, learning_rate_scale: float = 1.0) -> Agent[Any]:
    """The agent of `config.agent`. Weights are drawn from torch's global generator.

    What is registered as its implementation is called with the same arguments.

    Args:
        config: of the run.
        spaces: of the environment.
        device: where its tensors are.
        learning_rate_scale: what all learning rates are multiplied by.

    Raises:
        ConfigError: if the agent cannot be built for these spaces, or does not fit into memory.
    """
    agent: Agent[Any] = implementation_of("agent", config.agent)(config, spaces, device, learning_rate_scale)
    return agent
