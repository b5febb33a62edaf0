"""Policies that stable-baselines3 trained."""

import hashlib
import importlib
import io
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray

from rql.config.choices import ActionMode
from rql.config.priors import SB3PolicyConfig, SB3PriorConfig
from rql.data.sources.minari import check_spaces
from rql.envs.spaces import Spaces
from rql.priors.base import Prior, Slots
from rql.priors.files import content_of
from rql.utils.errors import ConfigError, RQLError
from rql.utils.extras import remedy


def open_sb3(config: SB3PriorConfig, spaces: Spaces, env: gymnasium.Env[Any, Any]) -> Prior:
    """The prior of `prior=sb3`.

    Raises:
        RQLError: if it cannot be read, or does not suit the environment.
    """
    model, content = load_model("prior", config, env)
    space = env.observation_space
    if not isinstance(space, gymnasium.spaces.Box):
        raise ConfigError("prior", "sb3", f"a policy for observations that are a Box, and these are {space}")
    deterministic = config.mode is ActionMode.mode

    def sample(obs: NDArray[np.float32], n: int, rng: np.random.Generator, slots: Slots) -> NDArray[Any]:
        alike = 1 if deterministic else n
        asked = np.repeat(obs, alike, axis=0).reshape(-1, *space.shape).astype(space.dtype)
        actions = predicted(model, asked, deterministic, rng).reshape(len(obs), alike, -1)
        return np.repeat(actions, n // alike, axis=1)

    digest = hashlib.sha256(content + config.mode.name.encode()).hexdigest()
    return Prior(described(model, config, config.mode), digest, sample, stochastic=not deterministic)


def load_model(section: str, config: SB3PolicyConfig, env: gymnasium.Env[Any, Any]) -> tuple[Any, bytes]:
    """The model in the file that a section of the configuration names, and the content of the file.

    Raises:
        RQLError: if it is not trusted, cannot be read, or does not suit the environment.
    """
    if not config.trusted:
        allowed = f"true, once you know that {config.path} is safe: opening it runs the code that it may carry"
        raise ConfigError(f"{section}.trusted", False, allowed)
    try:
        sb3 = importlib.import_module("stable_baselines3")
    except ImportError as error:
        raise ConfigError(section, "sb3", f"stable-baselines3 is needed: {remedy('sb3')}") from error
    algorithm = getattr(sb3, config.algorithm, None)
    if algorithm is None or not hasattr(algorithm, "load"):
        raise ConfigError(f"{section}.algorithm", config.algorithm, "a class of stable_baselines3, such as SAC or PPO")
    content = content_of(f"{section}.path", config.path)
    try:
        model = algorithm.load(io.BytesIO(content), device="cpu")
    except Exception as error:  # whatever a damaged archive or a wrong class leads to
        raise RQLError(f"no {config.algorithm} can be read from {config.path}: {error}") from error
    check_spaces(config.path, (model.observation_space, model.action_space), (env.observation_space, env.action_space))
    return model, content


def predicted(model: Any, obs: Any, deterministic: bool, rng: np.random.Generator) -> NDArray[Any]:
    """Actions of a model at observations as it knows them, with random numbers of their own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**31)))
        actions: NDArray[Any] = model.predict(obs, deterministic=deterministic)[0]
    return actions


def described(model: Any, config: SB3PolicyConfig, mode: ActionMode) -> str:
    """What a model is, for people."""
    return f"stable-baselines3 {config.algorithm} after {model.num_timesteps} steps, {mode.name}"
