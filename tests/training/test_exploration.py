"""Noise that is correlated in time: as it is drawn, and as it reaches the actions in the environment."""

from contextlib import closing
from typing import Any

import numpy as np
import pytest
import torch
from agent_states import first_state
from conftest import compose_config, stepped
from made_data import CPU
from torch import Tensor

from rql.agents.build import build_agent
from rql.envs.make import inspect_env
from rql.envs.training import TrainingEnvs
from rql.training.collector import Collector
from rql.training.exploration import CorrelatedNoise


def test_each_number_is_standard_normal_and_correlated_with_those_before_it_in_its_episode() -> None:
    draws, explore = torch.Generator().manual_seed(0), CorrelatedNoise(0.8)
    steps = []
    for step in range(12):
        steps.append(explore({"action": torch.randn((20_000, 2), generator=draws)})["action"])
        if step == 7:
            explore.end(np.arange(20_000) < 10_000)
    z = torch.stack(steps)
    assert z.var(dim=(1, 2)).tolist() == pytest.approx([1.0] * 12, abs=0.03)
    assert _correlation(z[3], z[4]) == pytest.approx(0.8, abs=0.01)
    assert _correlation(z[3], z[7]) == pytest.approx(0.8**4, abs=0.02)
    assert _correlation(z[7, :10_000], z[8, :10_000]) == pytest.approx(0.0, abs=0.02)
    assert _correlation(z[7, 10_000:], z[8, 10_000:]) == pytest.approx(0.8, abs=0.01)
    assert _correlation(z[3, :, 0], z[4, :, 1]) == pytest.approx(0.0, abs=0.02)


def test_a_policy_that_draws_other_numbers_is_left_alone() -> None:
    noise = {"uniform": torch.rand(3, 2)}
    assert CorrelatedNoise(0.9)(noise) is noise


def test_a_policy_that_draws_other_numbers_than_the_one_before_begins_anew() -> None:
    correlated = CorrelatedNoise(0.9)
    correlated({"action": torch.ones(1, 3)})  # of a mixture, which acts in a warm-up
    assert torch.equal(correlated({"action": torch.ones(1, 2)})["action"], torch.ones(1, 2))
    later = correlated({"action": torch.zeros(1, 2)})["action"]
    torch.testing.assert_close(later, torch.full((1, 2), 0.9))


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_the_actions_of_an_episode_stray_together(correlation: float) -> None:
    config = compose_config()
    spaces, env = inspect_env(config.env)
    env.close()
    agent: Any = build_agent(config, spaces, CPU)
    state = first_state(agent, spaces)
    with closing(TrainingEnvs(config.env, 0)) as envs:
        collector = Collector(agent, envs, spaces, torch.Generator().manual_seed(0), None, correlation)
        made = [stepped(collector, state, "bc").step for _ in range(1000)]
    columns = [step.columns for step in made if step is not None]
    obs, action = (torch.cat([torch.from_numpy(one[name]) for one in columns]) for name in ("obs", "action"))
    policy = agent.residual.bc(state, state.normalizer(obs.float()))
    z = ((action.clamp(-0.9999, 0.9999).atanh() - policy.mean) / policy.log_std.exp()).squeeze(-1)
    assert _correlation(z[:-1], z[1:]) == pytest.approx(correlation, abs=0.06)


def _correlation(one: Tensor, other: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])
