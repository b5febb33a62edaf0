"""Policies in files of networks: TorchScript and ONNX."""

import hashlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rql.agents.exporting import load_exported
from rql.config.priors import FilePriorConfig
from rql.envs.spaces import ContinuousSpec, Spaces
from rql.priors.base import Prior, PriorError, Slots, as_numbers, some_observations
from rql.utils.errors import ConfigError, RQLError


def open_torchscript(config: FilePriorConfig, spaces: Spaces, env: gymnasium.Env[Any, Any]) -> Prior:
    """The prior of `prior=torchscript`.

    Raises:
        RQLError: if it cannot be read.
    """
    return _opened(config, spaces, env, "torchscript", "TorchScript")


def open_onnx(config: FilePriorConfig, spaces: Spaces, env: gymnasium.Env[Any, Any]) -> Prior:
    """The prior of `prior=onnx`.

    Raises:
        RQLError: if it cannot be read, or a package that it needs is not installed.
    """
    return _opened(config, spaces, env, "onnx", "ONNX")


def content_of(key: str, path: str) -> bytes:
    """The content of a file that a key names.

    Raises:
        ConfigError: if it cannot be read.
    """
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        where = f"a file that can be read ({error.strerror}: {Path(path).absolute()})"
        raise ConfigError(key, path, where) from error


def one_action(
    name: str,
    digest: str,
    act: Callable[[NDArray[np.float32]], Any],
    spaces: Spaces,
    env: gymnasium.Env[Any, Any],
    module: torch.nn.Module | None = None,
) -> Prior:
    """The prior of a function from observations (B, obs_dim) to one action of the environment for each, (B, …), or to a
    chunk of h of them, (B, h, …); it is asked once which.

    It is called once where several proposals are asked for: they are the same.
    """
    assert isinstance(spaces.action, ContinuousSpec)
    shape, given = spaces.action.shape, as_numbers(name, act(some_observations(spaces, env))).shape
    chunk = given[1] if len(given) == len(shape) + 2 and given[2:] == shape else 1
    ahead = (chunk,) if chunk > 1 else ()

    def sample(obs: NDArray[np.float32], n: int, rng: np.random.Generator, slots: Slots) -> NDArray[Any]:
        actions = as_numbers(name, act(obs))
        if actions.shape[:1] != (len(obs),):
            raise PriorError(f"{name} gives actions of shape {actions.shape} for {len(obs)} observations")
        return np.repeat(actions.reshape(len(actions), 1, *ahead, -1), n, axis=1)

    return Prior(name, digest, sample, module=module, chunk=chunk)


def _opened(config: FilePriorConfig, spaces: Spaces, env: gymnasium.Env[Any, Any], to: str, called: str) -> Prior:
    content = content_of("prior.path", config.path)
    try:
        act = load_exported(content, to)
    except RQLError as error:  # a package that is not there
        raise ConfigError("prior", to, str(error)) from error
    except Exception as error:  # whatever a damaged file leads to
        if to == "torchscript" and _is_pickled(content):
            written = "it holds what torch.save wrote; torch.jit.script(module).save(path) writes TorchScript"
            raise RQLError(f"no {called} policy can be read from {config.path}: {written}") from error
        raise RQLError(f"no {called} policy can be read from {config.path}: {_first_line(error)}") from error

    def actions(obs: NDArray[np.float32]) -> NDArray[Any]:
        try:
            with torch.inference_mode():
                found = act(torch.from_numpy(np.ascontiguousarray(obs)))
        except Exception as error:  # a network for other observations, say
            shape = f"observations of shape {obs.shape}"
            raise PriorError(f"the policy in {config.path} cannot act on {shape}: {_first_line(error)}") from error
        if not isinstance(found, Tensor):
            raise PriorError(f"the policy in {config.path} gives {type(found).__name__}, where a tensor is needed")
        return found.cpu().numpy()

    module = act.eval() if isinstance(act, torch.nn.Module) else None
    digest = hashlib.sha256(content).hexdigest()
    return one_action(f"{called} policy in {config.path}", digest, actions, spaces, env, module)


def _is_pickled(content: bytes) -> bool:
    """Whether this is a file of torch.save, as weights and whole modules are, and has no code as TorchScript does."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            return any(name.endswith("/data.pkl") for name in names) and not any("/code/" in name for name in names)
    except zipfile.BadZipFile:
        return False


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
