"""Policies of other runs: a clone, or one that was finetuned before."""

import hashlib
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray

from rql.agents.exporting import PolicyModule
from rql.agents.loading import opened
from rql.agents.saving import find_agent, read_checkpoint
from rql.config.choices import ActionMode
from rql.config.priors import RunPriorConfig
from rql.config.registry import choice_of
from rql.envs.spaces import Spaces
from rql.priors.base import Prior, Slots
from rql.utils.errors import ConfigError


def open_run(config: RunPriorConfig, spaces: Spaces, env: gymnasium.Env[Any, Any]) -> Prior:
    """The prior of `prior=run`.

    Raises:
        RQLError: if it cannot be read, or does not suit the environment.
    """
    path = find_agent(Path(config.run).expanduser())
    saved = opened(read_checkpoint(path), spaces, env)
    name = config.policy or saved.main_policy
    if name not in saved.agent.policies:
        raise ConfigError("prior.policy", name, f"one of {', '.join(saved.agent.policies)}")
    deterministic, inner = config.mode is ActionMode.mode, saved.prior
    if inner is not None and (inner.stateful or inner.stochastic):
        inner.close()
        allowed = f"a run that did not finetune {inner.name}, which remembers or samples"
        raise ConfigError("prior.run", config.run, allowed)
    close = inner.close if inner is not None else lambda: None

    def sample(obs: NDArray[np.float32], n: int, rng: np.random.Generator, slots: Slots) -> NDArray[Any]:
        draws = torch.Generator().manual_seed(int(rng.integers(2**31)))
        asked = torch.from_numpy(np.ascontiguousarray(obs))
        acting = saved.policy(name, deterministic, draws)
        alike = 1 if deterministic else n
        chosen = acting.choose(asked.repeat_interleave(alike, 0)).numpy()
        actions = spaces.action.to_env(chosen).reshape(len(obs), alike, -1)
        return np.repeat(actions, n // alike, axis=1)

    below = inner.digest if inner is not None else ""
    digest = hashlib.sha256(f"{_digest(path)} {name} {config.mode.name} {below}".encode()).hexdigest()
    which = f"{choice_of('agent', saved.config.agent).name} {saved.config.agent.policies.get(name, name)}"
    described = f"{which} of {config.run}, {config.mode.name}"
    if not deterministic:
        return Prior(described, digest, sample, stochastic=True, close=close)
    whole = saved.prior is None or saved.prior.module is not None
    module = PolicyModule(saved, name).eval() if whole else None
    return Prior(described, digest, sample, module=module, close=close)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
