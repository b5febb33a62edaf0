"""The agent that a configuration asks for."""

from dataclasses import replace
from typing import Any

import torch

from rql.agents.base import Agent
from rql.config.registry import implementation_of
from rql.config.schema import Config
from rql.envs.spaces import DiscreteSpec, Spaces
from rql.utils.errors import ConfigError


def build_agent(config: Config, spaces: Spaces, device: torch.device, learning_rate_scale: float = 1.0) -> Agent[Any]:
    """The agent of `config.agent`. Weights are drawn from torch's global generator.

    What is registered as its implementation is called with the same arguments.

    Args:
        config: of the run.
        spaces: of the environment, one action at a time.
        device: where its tensors are.
        learning_rate_scale: what all learning rates are multiplied by.

    Raises:
        ConfigError: if the agent cannot be built for these spaces, or does not fit into memory.
    """
    decided = deciding(config, spaces)
    agent: Agent[Any] = implementation_of("agent", config.agent)(config, decided, device, learning_rate_scale)
    return agent


def deciding(config: Config, spaces: Spaces) -> Spaces:
    """The spaces of an environment as the agent sees them, which decides on `chunk.length` actions at once.

    Raises:
        ConfigError: if that are several, and actions are discrete.
    """
    length = config.chunk.length
    if length == 1:
        return spaces
    if isinstance(spaces.action, DiscreteSpec):
        raise ConfigError("chunk.length", length, f"1, for the actions of {config.env.id} are discrete")
    return replace(spaces, action=spaces.action.repeated(length))
