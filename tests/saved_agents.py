"""Saved agents of random weights, for the tests that use them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from agent_states import first_state, opinionated, without_zeros
from conftest import compose_config
from gymnasium import spaces as gym_spaces

from rql.agents.build import build_agent
from rql.agents.saving import save_agent
from rql.envs.make import inspect_env

NETWORKS = ("network.actor.hidden=[8]", "network.critic.hidden=[8]")
RESAMPLE = ("composition=resample", "target=max", "composition.num_candidates=5")
NO_UPDATES = ("bc.updates=0", "offline.updates=0")
UNIFORM = ("policy=uniform", "baseline=none", "dataset=none", "replay=online_only", *NO_UPDATES)


class Shaped(gymnasium.Env[Any, Any]):
    """Observations in a dictionary, actions in a matrix with bounds of its own."""

    observation_space = gym_spaces.Dict(
        {"place": gym_spaces.Box(-9.0, 9.0, (3,)), "door": gym_spaces.Discrete(2, start=1)}
    )
    action_space: gym_spaces.Space[Any] = gym_spaces.Box(
        np.array([[-1.0, 0.0]] * 2), np.array([[3.0, 5.0]] * 2), (2, 2), float
    )

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.steps = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action)
        self.steps += 1
        return self.observation_space.sample(), float(np.sum(action)), self.steps == 5, False, {}


class Numbered(Shaped):
    """Discrete actions that do not begin at 0."""

    action_space = gym_spaces.Discrete(3, start=5)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return super().step(np.int64(action))


gymnasium.register("RQLTestShaped-v0", entry_point=lambda **_: Shaped())
gymnasium.register("RQLTestNumbered-v0", entry_point=lambda **_: Numbered())
SHAPED, NUMBERED = "env.id=RQLTestShaped-v0", "env.id=RQLTestNumbered-v0"
AGENTS = {
    "amortized": [SHAPED],
    "resample": [SHAPED, *RESAMPLE],
    "residual": [SHAPED, "composition=residual"],
    "flow": [SHAPED, "composition=residual", "policy=flow", "policy.flow_steps=3", "cql=off"],
    "mixture": [SHAPED, "composition=residual", "policy=mixture", "cql=off"],
    "mixture, resample": [SHAPED, "policy=mixture", *RESAMPLE, "cql=off"],
    "chunks": [SHAPED, "chunk.length=3", "chunk.execute=2"],
    "uniform": [SHAPED, *RESAMPLE, *UNIFORM],
    "discrete": [NUMBERED],
    "discrete, uniform": [NUMBERED, *UNIFORM],
}
Save = Callable[..., Path]


def save_random_agent(folder: Path, *overrides: str) -> Path:
    """An agent with weights and observations drawn at random, in `agent.pt`; its folder."""
    config = compose_config(*NETWORKS, *overrides)
    spaces, env = inspect_env(config.env)
    env.close()
    torch.manual_seed(0)
    agent = build_agent(config, spaces, torch.device("cpu"))
    state = opinionated(first_state(agent, spaces))
    normalizer = state.normalizer._replace(mean=torch.rand(spaces.obs_dim), std=0.5 + torch.rand(spaces.obs_dim))
    drawn = state._replace(normalizer=normalizer, beta=torch.tensor(5.0), updates=torch.tensor(1.0))
    if hasattr(state, "average"):
        drawn = drawn._replace(average=without_zeros(state.average))
    save_agent(folder / "agent.pt", drawn, config, "online")
    return folder


def refused(command: Any, arguments: list[Any], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command says as it refuses its arguments."""
    with pytest.raises(SystemExit) as stopped:
        command.main([str(argument) for argument in arguments])
    lines = capsys.readouterr().err.splitlines()
    assert stopped.value.code == 2 and lines[-1].startswith("error: ") and "Traceback" not in lines[0]
    return lines[-1]
