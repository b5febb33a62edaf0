"""An agent as a file: its state and the configuration that builds it. No pickles are read."""

import io
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rql.agents.agent import Agent
from rql.agents.build import build_agent, first_state
from rql.agents.state import AgentState
from rql.config.compose import choices_of, from_plain, to_plain
from rql.config.schema import Config
from rql.envs.spaces import Spaces
from rql.errors import RQLError
from rql.files import write_atomically

AGENT_FILE = "agent.pt"
FORMAT = 1


def save_agent(path: Path, state: AgentState, config: Config) -> None:
    """Write an agent.

    Raises:
        RQLError: if it cannot be written.
    """
    content = io.BytesIO()
    described = json.dumps({"format": FORMAT, "choices": choices_of(config), "config": to_plain(config)})
    torch.save({"description": described, "state": dict(_tensors("", state))}, content)
    try:
        write_atomically(path, content.getvalue())
    except OSError as error:
        raise RQLError(f"the agent cannot be saved to {path}: {error}") from error


def read_agent(path: Path) -> tuple[Config, dict[str, Tensor]]:
    """The configuration and the tensors of a saved agent.

    Raises:
        RQLError: if there is none, or it is damaged or of another format.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        described = json.loads(content["description"])
        if described["format"] != FORMAT:
            raise RQLError(f"{path} has format {described['format']}; this version reads {FORMAT}")
        return from_plain(described["config"], described["choices"]), content["state"]
    except RQLError:
        raise
    except Exception as error:  # torch and zipfile raise a dozen kinds for a damaged file
        raise RQLError(f"no agent can be read from {path}: {str(error).splitlines()[0]}") from error


def restore_agent(config: Config, tensors: dict[str, Tensor], view: Spaces) -> tuple[Agent, AgentState]:
    """The agent that was saved, on the CPU.

    Raises:
        RQLError: if the tensors do not fit the configuration and the spaces.
    """
    agent = build_agent(config, view)
    template = first_state(agent, view, None, 0.0, torch.device("cpu"))
    shapes = {name: tensor.shape for name, tensor in _tensors("", template)}
    if shapes != {name: tensor.shape for name, tensor in tensors.items()}:
        raise RQLError(f"the saved agent does not fit {config.env.id} as it is here: its tensors have other shapes")
    return agent, _filled("", template, tensors)


def _tensors(name: str, tree: Any) -> list[tuple[str, Tensor]]:
    """All tensors of a tree of named tuples and dictionaries, by their path."""
    if isinstance(tree, Tensor):
        return [(name, tree)]
    parts = tree.items() if isinstance(tree, dict) else tree._asdict().items()
    return [found for key, part in parts for found in _tensors(f"{name}/{key}", part)]


def _filled(name: str, template: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(template, Tensor):
        return tensors[name]
    if isinstance(template, dict):
        return {key: _filled(f"{name}/{key}", part, tensors) for key, part in template.items()}
    return template._make(_filled(f"{name}/{key}", part, tensors) for key, part in template._asdict().items())
