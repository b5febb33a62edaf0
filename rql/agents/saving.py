"""An agent as a file: its state and the configuration that builds it. No pickles are read."""

import io
import json
import logging
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from omegaconf.errors import OmegaConfBaseException
from torch import Tensor

from rql.agents.base import Agent
from rql.agents.build import build_agent
from rql.agents.statistics import Statistics
from rql.config.compose import choices_of, from_plain, to_plain
from rql.config.schema import Config
from rql.envs.spaces import Spaces
from rql.utils.errors import DamagedError, RQLError
from rql.utils.files import CHECKPOINTS, code_version, seal, unseal, write_atomically
from rql.utils.tree import filled, from_storable, named_leaves, to_storable

AGENT_FILE, BEST_FILE = "agent.pt", "best.pt"
END = "-end"
"""Suffix of the checkpoints at the end of a stage."""
FORMAT = 9
"""Counted up with every change of what is written; files of another format are refused."""

S = TypeVar("S")
Tensors = dict[str, Tensor]
logger = logging.getLogger(__name__)


def save_agent(path: Path, state: Any, config: Config, stage: str, progress: Any = None, prior_digest: str = "") -> int:
    """Write the state of an agent in a stage, and with it how far its run has come; the bytes it took.

    `prior_digest` is that of the policy that it finetunes, where that is known.

    Raises:
        OSError: if it cannot be written.
    """
    content = io.BytesIO()
    described = {
        "format": FORMAT,
        "stage": stage,
        "choices": choices_of(config),
        "config": to_plain(config),
        "prior_digest": prior_digest,
        "code_version": code_version(),
    }
    parts = {"description": json.dumps(described), "state": named_leaves(state)}
    torch.save(parts | {"progress": to_storable(progress)}, content)
    sealed = seal(content.getvalue())
    write_atomically(path, sealed)
    return len(sealed)


class SavedState(NamedTuple):
    """The content of a saved agent."""

    config: Config
    stage: str
    """The stage in which it was saved."""
    tensors: Tensors
    progress: Any
    """How far the run had come; None in a file that holds an agent alone."""
    prior_digest: str
    """Of the policy that it finetunes; empty where that is not known."""


def find_agent(path: Path) -> Path:
    """The file itself, or that with the newest agent in the folder of a run: `agent.pt`, unless a checkpoint in the
    middle of a stage is newer; where it is damaged, the one before.

    Raises:
        RQLError: if there is none, or it is of a newer format.
    """
    if not path.is_dir():
        return path
    checkpoints = sorted((path / CHECKPOINTS).glob("*-*-*.pt"), key=lambda found: found.stem, reverse=True)
    agent = [path / AGENT_FILE] if (path / AGENT_FILE).exists() else []
    newest_first = (
        [*agent, *checkpoints] if checkpoints and checkpoints[0].stem.endswith(END) else [*checkpoints, *agent]
    )
    damaged: list[str] = []
    for found in newest_first:
        try:
            read_checkpoint(found)
        except DamagedError as error:
            damaged.append(str(error))
            continue
        if damaged:
            logger.warning("%s; %s is taken", "; ".join(damaged), found)
        return found
    missing = f"{path} holds no agent: neither {AGENT_FILE} nor {CHECKPOINTS}/*.pt"
    raise RQLError(f"no agent in {path} can be used: {'; '.join(damaged)}" if damaged else missing)


def read_checkpoint(path: Path) -> SavedState:
    """The content of a file that `save_agent` wrote.

    Raises:
        RQLError: if there is none, or it is of a newer format or version.
        DamagedError: if it is damaged.
    """
    try:
        path.stat()
    except OSError as error:
        reason = f"{error.strerror}; a run's folder, or a file such as its {AGENT_FILE}, is needed"
        raise RQLError(f"no agent can be read from {path}: {reason}") from error
    content = io.BytesIO(unseal(path))
    try:
        parts = torch.load(content, map_location="cpu", weights_only=True)
        described = json.loads(parts["description"])
        if described["format"] != FORMAT:
            written = f"{path} has format {described['format']}, written by version {described['code_version']}"
            raise RQLError(f"{written}; this version has format {FORMAT}: run it again")
        config = from_plain(described["config"], described["choices"])
        progress = from_storable(parts["progress"])
        return SavedState(config, described["stage"], parts["state"], progress, described["prior_digest"])
    except RQLError:
        raise
    except OmegaConfBaseException as error:
        what = f"version {described['code_version']} wrote it, with a configuration that this one does not know"
        raise RQLError(f"no agent can be read from {path}: {what}: {str(error).splitlines()[0]}") from error
    except Exception as error:  # torch and zipfile raise a dozen kinds for a damaged file
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DamagedError(f"no agent can be read from {path}: {reason}") from error


def restored(template: S, tensors: Tensors) -> S:
    """The state that was saved, on the device of one of the same shapes.

    Raises:
        RQLError: if the shapes differ.
    """
    wanted = named_leaves(template)
    if {name: value.shape for name, value in wanted.items()} != {name: value.shape for name, value in tensors.items()}:
        raise RQLError("the saved agent does not fit the configuration and the spaces: its tensors have other shapes")
    return filled(template, {name: tensors[name].to(wanted[name].device) for name in wanted})


def restore_agent(saved: SavedState, spaces: Spaces) -> tuple[Agent[Any], Any]:
    """The agent that was saved and its state, on the CPU, ready to act with each of its policies.

    Raises:
        RQLError: if the tensors do not fit the configuration and the spaces.
    """
    cpu = torch.device("cpu")
    with torch.random.fork_rng(devices=[]):
        agent = build_agent(saved.config, spaces, cpu)
    state = restored(agent.init(Statistics.unknown(spaces.obs_dim, cpu)), saved.tensors)
    names = [stage.info.name for stage in agent.stages]
    for stage in agent.stages[names.index(saved.stage) + 1 :]:  # policies of later stages act as these begin
        state = stage.enter(state)
    return agent, state
