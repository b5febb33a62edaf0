"""Success as the reward and as the end of an episode, in environments and in data that are read for them."""

from pathlib import Path
from typing import Any

import late_env
import numpy as np
import pytest
from conftest import Cli, Collect, summary_of
from made_data import load

from rql.config.choices import Reward, SuccessOf
from rql.config.data import EnvConfig, MinariDatasetConfig
from rql.envs.make import inspect_env, make_env
from rql.utils.errors import ConfigError, DataError

LATE = "RQLTestGoesOn-v0"
HOW = {
    "as the environment pays": ({}, [10.0, 20.0, 30.0, 40.0, 50.0, 60.0], False),
    "ended at success": ({"terminate_on_success": True}, [10.0, 20.0, 30.0], True),
    "success": ({"reward": Reward.success}, [0.0, 0.0, 1.0], True),
    "step cost": ({"reward": Reward.step_cost}, [-1.0, -1.0, 0.0], True),
}
"""Settings; what an episode pays that succeeds at its third step; whether it ends there."""


def played(config: EnvConfig, seed: int) -> tuple[list[float], bool, bool]:
    """The rewards of an episode, and how it ended."""
    with make_env(config) as env:
        env.reset(seed=seed)
        rewards, terminated, truncated = list[float](), False, False
        while not (terminated or truncated):
            _, reward, terminated, truncated, _ = env.step(np.zeros(1, np.float32))
            rewards.append(float(reward))
    return rewards, terminated, truncated


@pytest.mark.parametrize("name", HOW)
def test_steps_pay_for_success_which_ends_the_episode(name: str) -> None:
    settings, rewards, ends = HOW[name]
    config = EnvConfig(id=LATE, **settings)  # type: ignore[arg-type]
    assert played(config, seed=1) == (rewards, ends, not ends)
    last = [10.0 * step for step in range(1, late_env.LIMIT + 1)]
    at_the_limit, never = played(config, seed=4), played(config, seed=5)
    assert at_the_limit[1:] == (ends, not ends) and never[1:] == (False, True)
    expected = {Reward.environment: last, Reward.success: [0.0] * 6, Reward.step_cost: [-1.0] * 6}[config.reward]
    assert never[0] == expected and at_the_limit[0][:-1] == expected[:-1]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"reward": Reward.success}, "env.reward=success is not possible: an environment that says in info whether"),
        ({"terminate_on_success": True}, "env.terminate_on_success=True is not possible"),
    ],
)
def test_an_environment_that_says_nothing_of_success_cannot_pay_for_it(settings: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        inspect_env(EnvConfig(id=LATE, kwargs={"reports": False}, **settings))


@pytest.mark.parametrize("name", HOW)
def test_data_are_relabelled_as_the_environment_would_have_paid(name: str, collect: Collect, data_root: Path) -> None:
    collect(f"env.id={LATE}", "imports=[late_env]", "id=late/random-v0", "episodes=6", "env.num_envs=2", "seed=0")
    config = EnvConfig(id=LATE, **HOW[name][0])  # type: ignore[arg-type]
    data, _ = load(MinariDatasetConfig(id="late/random-v0"), config)
    found = {
        (tuple(rewards.tolist()), bool(terminated[-1]), bool(truncated[-1]))
        for rewards, terminated, truncated in (
            (column[start:stop] for column in (data.reward, data.terminated, data.truncated))
            for start, stop in zip(data.starts, data.ends, strict=True)
        )
    }
    assert found == {(tuple(rewards), *ends) for rewards, *ends in (played(config, seed) for seed in range(6))}


def test_data_that_say_nothing_of_success_are_refused_or_succeed_at_their_last_step(
    collect: Collect, data_root: Path
) -> None:
    silent = ["env.kwargs.reports=false", "imports=[late_env]"]
    collect(f"env.id={LATE}", "++" + silent[0], silent[1], "id=late/silent-v0", "episodes=2")
    config = EnvConfig(id=LATE, reward=Reward.step_cost)
    with pytest.raises(DataError, match=r"episode 0 does not say whether it succeeded \(dataset\.success=last_step"):
        load(MinariDatasetConfig(id="late/silent-v0"), config)
    data, _ = load(MinariDatasetConfig(id="late/silent-v0", success=SuccessOf.last_step), config)
    assert data.lengths.tolist() == [6, 6] and data.reward.tolist() == [-1.0] * 5 + [0.0] + [-1.0] * 5 + [0.0]
    assert data.terminated.tolist() == ([False] * 5 + [True]) * 2 and not data.truncated.any()


def test_a_run_learns_from_success(cli: Cli, collect: Collect, data_root: Path) -> None:
    collect(f"env.id={LATE}", "imports=[late_env]", "id=late/random-v0", "episodes=6", "env.num_envs=2")
    late = [f"env.id={LATE}", "imports=[late_env]", "dataset=minari", "dataset.id=late/random-v0", "reward=success"]
    tiny = ["tracking=disabled", "batch_size=16", "bc.updates=3", "offline.updates=3", "online.env_steps=24"]
    directory = cli(*late, *tiny, "evaluation.boundary_episodes=6", "online.warmup_fraction=0.3", name="late")
    summary = summary_of(directory)
    assert summary["bc/success_rate"] == summary["bc/return"] > 0.5 and summary["bc/episode_length"] < late_env.LIMIT
