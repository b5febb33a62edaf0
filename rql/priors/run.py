"""Policies of other runs: a clone, or one that was finetuned before."""

import hashlib
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray

from rql.agents.build import deciding
from rql.agents.exporting import PolicyModule
from rql.agents.loading import SavedAgent, opened
from rql.agents.networks import build_policy
from rql.agents.saving import find_agent, read_checkpoint
from rql.config.choices import ActionMode
from rql.config.priors import RunPriorConfig
from rql.config.registry import choice_of
from rql.envs.spaces import Spaces
from rql.priors.base import Prior, Slots, nothing
from rql.priors.density import Density
from rql.utils.errors import ConfigError


def open_run(config: RunPriorConfig, spaces: Spaces, env: gymnasium.Env[Any, Any]) -> Prior:
    """The prior of `prior=run`.

    Raises:
        RQLError: if it cannot be read, or does not suit the environment.
    """
    path = find_agent(Path(config.run).expanduser())
    saved = opened(read_checkpoint(path), spaces, env)
    name, inner = config.policy or saved.main_policy, saved.prior
    if name not in saved.agent.policies:
        saved.close()
        raise ConfigError("prior.policy", name, f"one of {', '.join(saved.agent.policies)}")
    deterministic = config.mode is ActionMode.mode
    stochastic = not deterministic or (inner is not None and inner.stochastic)
    draws = torch.Generator()
    policy = saved.policy(name, deterministic, draws, first=0)
    chunk, decided = saved.config.chunk.length, deciding(saved.config, spaces).action
    ahead = (chunk,) if chunk > 1 else ()

    def sample(obs: NDArray[np.float32], n: int, rng: np.random.Generator, slots: Slots) -> NDArray[Any]:
        draws.manual_seed(int(rng.integers(2**31)))
        different = n if stochastic else 1
        asked = torch.from_numpy(np.repeat(obs, different, axis=0))
        chosen = policy.decide(asked, np.repeat(slots, different)).numpy()
        actions = decided.to_env(chosen).reshape(len(obs), different, *ahead, -1)
        return np.repeat(actions, n // different, axis=1)

    which = f"{choice_of('agent', saved.config.agent).name} {saved.config.agent.policies.get(name, name)}"
    alone = inner is None or inner.module is not None
    return Prior(
        name=f"{which} of {config.run}, {config.mode.name}",
        digest=_digest(path, f"{name} {config.mode.name}", inner),
        sample=sample,
        reset=inner.reset if inner is not None else nothing,
        module=PolicyModule(saved, name).eval() if alone and not stochastic else None,
        stochastic=stochastic,
        stateful=inner is not None and inner.stateful,
        chunk=chunk,
        density=None if deterministic else _density(saved, name),
        close=saved.close,
    )


def _density(saved: SavedAgent, name: str) -> Density | None:
    """That of a policy by its name, where it is a network with one."""
    parameters, config = saved.agent.policies[name].parameters, saved.config
    if parameters is None:
        return None
    network = build_policy(config.policy, config.network, deciding(config, saved.spaces), torch.device("cpu"))
    params, normalizer = parameters(saved.state), saved.state.normalizer
    return Density(network, params, normalizer, config.policy, config.network.actor, config.chunk.length)


def _digest(path: Path, how: str, inner: Prior | None) -> str:
    """Of the file, how it acts and what it finetunes; unknown where that is unknown."""
    if inner is not None and not inner.digest:
        return ""
    below = inner.digest if inner is not None else ""
    return hashlib.sha256(path.read_bytes() + f"{how} {below}".encode()).hexdigest()
