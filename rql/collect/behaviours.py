"""The policies that collect, from observations of the environment to its own actions."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray

from rql.agents.loading import opened
from rql.agents.saving import find_agent, read_checkpoint
from rql.config.choices import ActionMode
from rql.config.collect import (
    AUTO,
    BehaviourConfig,
    CollectConfig,
    ExpertBehaviourConfig,
    RandomBehaviourConfig,
    RunBehaviourConfig,
    SB3BehaviourConfig,
    ScriptedBehaviourConfig,
)
from rql.config.data import EnvConfig
from rql.config.registry import choice_of, implementation_of
from rql.data.demonstrators import CONTROLLERS
from rql.envs.experts import WITH_EXPERT, Demonstrating, has_expert
from rql.envs.make import AnyVectorEnv, Wrap, as_it_is
from rql.envs.spaces import DiscreteSpec, Spaces
from rql.priors.sb3 import described, load_model, predicted
from rql.utils.errors import ConfigError
from rql.utils.tree import leaves_of

Env = gymnasium.Env[Any, Any]
Act = Callable[[Any, np.random.Generator], NDArray[Any]]
"""Observations of n environments, stacked leaf by leaf → n actions of the environment."""


@dataclass(frozen=True)
class Behaviour:
    """A policy, and what the data set says of it."""

    act: Act | None
    """None where its environments know what to do: they are wrapped in a `Demonstrating`."""
    description: str
    content: str = ""
    """A hash of the file it comes from."""
    begin: Callable[[NDArray[np.int64]], None] = lambda which: None
    """Told in which environments episodes begin."""
    close: Callable[[], None] = lambda: None
    """Ends what it needs."""
    wrap: Wrap = as_it_is
    """What is done to its environments."""

    def acting_in(self, envs: AnyVectorEnv) -> Act:
        """What acts in its environments."""
        return self.act or (lambda obs, rng: np.stack(envs.call("demonstrate")))


def env_of(config: CollectConfig) -> EnvConfig:
    """The environment to collect in: the one that is configured, or that of the run whose policy acts.

    Raises:
        RQLError: if the run cannot be read.
    """
    if not isinstance(config.behaviour, RunBehaviourConfig):
        return config.env
    trained = read_checkpoint(find_agent(Path(config.behaviour.run))).config.env
    seen = trained.obs_keys if config.env.obs_keys is None else config.env.obs_keys
    if config.env.id != AUTO:
        return replace(config.env, obs_keys=seen)
    own = replace(config.env, id=trained.id, obs_keys=seen)
    return replace(own, kwargs=trained.kwargs | config.env.kwargs)


def build_behaviour(config: BehaviourConfig, env_config: EnvConfig, spaces: Spaces, env: Env) -> Behaviour:
    """The policy of a configuration.

    Raises:
        RQLError: if it cannot be read, or does not suit the environment.
    """
    behaviour: Behaviour = implementation_of("behaviour", config)(config, env_config, spaces, env)
    return behaviour


def random_actions(config: RandomBehaviourConfig, env_config: EnvConfig, spaces: Spaces, env: Env) -> Behaviour:
    """The policy of `behaviour=random`."""
    return Behaviour(lambda obs, rng: _uniform(spaces, _count(obs), rng), "uniformly random actions")


def _uniform(spaces: Spaces, count: int, rng: np.random.Generator) -> NDArray[Any]:
    if isinstance(spaces.action, DiscreteSpec):
        return spaces.action.to_env(rng.integers(spaces.action.count, size=count))
    return spaces.action.to_env(rng.uniform(-1.0, 1.0, (count, spaces.action.width)))


def scripted_actions(config: ScriptedBehaviourConfig, env_config: EnvConfig, spaces: Spaces, env: Env) -> Behaviour:
    """The policy of `behaviour=scripted`.

    Raises:
        ConfigError: if no controller is known for the environment.
    """
    if env_config.id not in CONTROLLERS:
        allowed = f"{env_config.id} has no scripted controller, {', '.join(CONTROLLERS)} have"
        raise ConfigError("behaviour", "scripted", allowed)
    controller = CONTROLLERS[env_config.id]

    def act(obs: Any, rng: np.random.Generator) -> NDArray[Any]:
        actions = np.stack([controller(one) for one in obs])
        left = rng.random(len(actions)) < config.random_chance
        actions[left] = _uniform(spaces, len(actions), rng)[left]
        return actions

    return Behaviour(act, f"scripted controller, {config.random_chance:.0%} of the steps random")


def expert_actions(config: ExpertBehaviourConfig, env_config: EnvConfig, spaces: Spaces, env: Env) -> Behaviour:
    """The policy of `behaviour=expert`.

    Raises:
        ConfigError: if the environment brings no expert.
    """
    if not has_expert(env_config):
        raise ConfigError("behaviour", "expert", f"{env_config.id} brings no expert: {WITH_EXPERT} do")
    return demonstrations(env_config, config.noise)


def demonstrations(config: EnvConfig, noise: float) -> Behaviour:
    """The expert of an environment, with noise of this standard deviation, as a share of half the range of actions."""
    described = f"scripted expert that comes with the environment, noise {noise:g}"
    return Behaviour(None, described, wrap=partial(Demonstrating, config=config, noise=noise))


def trained_policy(config: RunBehaviourConfig, env_config: EnvConfig, spaces: Spaces, env: Env) -> Behaviour:
    """The policy of `behaviour=run`.

    Raises:
        RQLError: if it cannot be read, or does not suit the environment.
    """
    path = find_agent(Path(config.run))
    saved = opened(read_checkpoint(path), spaces, env)
    name = config.policy or saved.main_policy
    if name not in saved.agent.policies:
        raise ConfigError("behaviour.policy", name, f"one of {', '.join(saved.agent.policies)}")
    draws = torch.Generator()
    policy = saved.policy(name, config.mode is ActionMode.mode, draws)

    def act(obs: Any, rng: np.random.Generator) -> NDArray[Any]:
        draws.manual_seed(int(rng.integers(2**31)))
        return policy.batch(obs)

    which = f"{choice_of('agent', saved.config.agent).name} {saved.config.agent.policies.get(name, name)}"
    described = f"{which} after {int(saved.state.updates)} updates, {config.mode.name}, seed {saved.config.seed}"
    return Behaviour(act, described, _hash(path.read_bytes()), begin=policy.begin, close=saved.close)


def sb3_policy(config: SB3BehaviourConfig, env_config: EnvConfig, spaces: Spaces, env: Env) -> Behaviour:
    """The policy of `behaviour=sb3`.

    Raises:
        RQLError: if it is not trusted, cannot be read, or does not suit the environment.
    """
    model, content = load_model("behaviour", config, env)
    deterministic = config.mode is ActionMode.mode

    def act(obs: Any, rng: np.random.Generator) -> NDArray[Any]:
        return predicted(model, obs, deterministic, rng)

    return Behaviour(act, described(model, config, config.mode), _hash(content))


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _count(obs: Any) -> int:
    return len(leaves_of(obs)[0])
