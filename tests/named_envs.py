"""The environments of conf/env, all that this Python can have."""

from importlib.util import find_spec
from typing import Any

import gymnasium
import numpy as np
from conftest import ROOT, compose_config
from metaworld.policies import ENV_POLICY_MAP
from numpy.typing import NDArray

from rql.config.data import EnvConfig

OGBENCH = find_spec("ogbench") is not None
"""A package that OGBench needs is not made for Python 3.13."""
FILES = sorted(path.stem for path in (ROOT / "conf/env").glob("*.yaml"))
NAMED = [name for name in FILES if name != "from_dataset" and (OGBENCH or not name.startswith("ogbench"))]
ROBOTS = [name for name in NAMED if name.startswith(("metaworld", "ogbench", "fetch", "kitchen", "adroit"))]
MAZES = [name for name in NAMED if name.startswith(("pointmaze", "antmaze"))]


def named_env(name: str, **kwargs: Any) -> EnvConfig:
    """The environment of a name, with arguments of one's own."""
    config = compose_config(f"env={name}", *(["env.kwargs.env_name=hammer-v3"] if name == "metaworld" else [])).env
    return EnvConfig(config.id, config.kwargs | kwargs)


def flat(env: gymnasium.Env[Any, Any], obs: Any) -> NDArray[Any]:
    """All numbers of an observation."""
    return np.asarray(gymnasium.spaces.flatten(env.observation_space, obs))


def scripted(name: str) -> Any:
    """Meta-World's own policy for one of its tasks."""
    policy: Any = ENV_POLICY_MAP[name]
    return policy()
