"""Training environments: saved and restored exactly, restarted where they fail, out of the way of signals."""

import logging
import os
import signal
import time
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from agent_states import first_state
from conftest import compose_config, stepped
from gymnasium import spaces as gym_spaces
from gymnasium.vector import AutoresetMode

from rql.agents.build import build_agent
from rql.config.choices import Vectorization
from rql.config.data import EnvConfig
from rql.data.batch import RewardTransform
from rql.envs.guarded import EnvFailedError, GuardedEnvs
from rql.envs.restorable import Restorable
from rql.envs.spaces import describe
from rql.envs.training import RestartError, TrainingEnvs
from rql.evaluation.evaluator import Evaluator
from rql.utils.errors import EvaluationError, Preempted, RQLError
from rql.utils.tree import from_storable, same, to_storable

EXACT = [
    "Pendulum-v1", "CartPole-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Hopper-v5", "Hopper-v4",
    "HalfCheetah-v5", "Walker2d-v5", "Ant-v5", "Humanoid-v5", "InvertedPendulum-v5", "Swimmer-v5", "Reacher-v5",
]  # fmt: skip


class Failing(gymnasium.Env[Any, Any]):
    """Raises, hangs or dies at its third step, in the first process that gets there."""

    observation_space, action_space = gym_spaces.Box(-1.0, 1.0, (1,), np.float32), gym_spaces.Discrete(2)

    def __init__(self, how: str, trace: str, times: int) -> None:
        self._how, self._trace, self._times, self._steps = how, trace, times, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._steps += 1
        done = len(list(Path(self._trace).iterdir()))
        if self._steps == 3 and done < self._times:
            Path(self._trace, str(done)).mkdir(exist_ok=True)
            if self._how == "raise":
                raise FloatingPointError("the simulation is unstable")
            if self._how == "hang":
                time.sleep(1000)
            os.kill(os.getpid(), signal.SIGKILL)
        return np.full(1, self._steps / 10, np.float32), 1.0, False, self._steps == 5, {}


gymnasium.register("RQLTestFailing-v0", entry_point=lambda **kwargs: Failing(**kwargs))


def played(env: Restorable, actions: list[Any]) -> list[Any]:
    seen: list[Any] = []
    for action in actions:
        obs, reward, terminated, truncated, _ = env.step(action)
        seen += [np.array(obs).tolist(), float(reward), terminated, truncated]
        if terminated or truncated:
            seen.append(np.array(env.reset()[0]).tolist())
    return seen


@pytest.mark.parametrize("id", EXACT)
def test_an_environment_goes_on_exactly_in_the_middle_of_an_episode(id: str) -> None:
    one, other = (Restorable(gymnasium.make(id), 0) for _ in range(2))
    one.action_space.seed(1)
    actions = [one.action_space.sample() for _ in range(260)]
    one.reset(seed=3)
    other.reset(seed=9)
    played(one, actions[:17])
    saved = from_storable(to_storable(one.saved_state()))
    expected = played(one, actions[17:])
    other.load_states([saved])
    assert played(other, actions[17:]) == expected
    assert same(other.saved_state(), one.saved_state())


def test_environments_made_anew_begin_where_none_of_them_has_begun_before() -> None:
    config = EnvConfig("CartPole-v1", num_envs=3)
    with closing(TrainingEnvs(config, 0)) as envs:
        first, again = envs.reset(), envs._restart(EnvFailedError("it does"))
    starts = {tuple(obs) for obs in (*first, *again)}
    assert len(starts) == 6


def test_an_environment_that_is_not_known_says_so() -> None:
    assert Restorable(gymnasium.make("RQLTestFailing-v0", how="raise", trace="", times=0), 0).saved_state() is None


@pytest.mark.parametrize("how", ["raise", "hang", "die"])
@pytest.mark.parametrize("times", [1, 9])
def test_environments_in_processes_are_restarted(how: str, times: int, tmp_path: Any, caplog: Any) -> None:
    kwargs = {"how": how, "trace": str(tmp_path), "times": times}
    config = EnvConfig("RQLTestFailing-v0", kwargs, num_envs=2, vectorization=Vectorization.subprocess)
    with closing(TrainingEnvs(replace(config, step_timeout=0.5, max_restarts=2), 0)) as envs:
        envs.reset()
        restarts = steps = 0
        with caplog.at_level(logging.WARNING):
            try:
                while steps < 12:
                    try:
                        stepped(envs, np.zeros(2, np.int64))
                        steps += 1
                    except RestartError as error:
                        assert error.obs.tolist() == [[0.0], [0.0]]
                        restarts += 1
            except RQLError as error:
                assert times == 9 and "RQLTestFailing-v0 failed 3 times, more than env.max_restarts=2" in str(error)
        assert restarts == min(times, 2)
        assert "running episodes are dropped" in caplog.text


@pytest.mark.parametrize("sent", [False, True])
def test_a_process_that_ends_around_the_beginning_of_a_step_is_made_anew(sent: bool) -> None:
    config = EnvConfig("CartPole-v1", num_envs=2, vectorization=Vectorization.subprocess)
    with closing(TrainingEnvs(config, 0)) as envs:
        envs.reset()
        process = envs._envs._envs.processes[1]  # type: ignore[union-attr]
        os.kill(int(process.pid or 0), signal.SIGSTOP if sent else signal.SIGKILL)
        if not sent:
            process.join()
        envs.send(np.zeros(2, np.int64))
        os.kill(int(process.pid or 0), signal.SIGKILL) if sent else None
        with pytest.raises(RestartError) as restarted:
            envs.receive()
        assert restarted.value.obs.shape == (2, 4) and envs.restarts == 1
        stepped(envs, np.zeros(2, np.int64))


@pytest.mark.parametrize("how", ["raise", "hang", "die"])
@pytest.mark.parametrize("times", [0, 1, 9])
def test_an_evaluation_whose_environments_fail_is_played_again(how: str, times: int, tmp_path: Any) -> None:
    kwargs = {"how": how, "trace": str(tmp_path), "times": times}
    config = compose_config("evaluation.boundary_episodes=4", "evaluation.num_envs=2")
    env = EnvConfig("RQLTestFailing-v0", kwargs, vectorization=Vectorization.subprocess, step_timeout=0.5)
    config = replace(config, env=replace(env, max_restarts=2))
    spaces = describe(env.id, Failing.observation_space, Failing.action_space)
    agent = build_agent(config, spaces, torch.device("cpu"))
    state = first_state(agent, spaces)
    with closing(Evaluator(agent, spaces, config, RewardTransform(), None, torch.device("cpu"))) as evaluator:
        if times == 9:
            with pytest.raises(EvaluationError, match="failed in evaluations 3 times"):
                evaluator.at_end(state, "bc")
        else:
            assert evaluator.at_end(state, "bc").metrics["return"] == 5.0


def test_an_evaluation_that_hangs_is_given_up_for_a_signal(tmp_path: Any) -> None:
    kwargs = {"how": "hang", "trace": str(tmp_path), "times": 1}
    config = EnvConfig("RQLTestFailing-v0", kwargs, vectorization=Vectorization.subprocess)

    def check() -> None:
        raise Preempted("SIGTERM")

    with closing(GuardedEnvs(config, 1, AutoresetMode.DISABLED, partial(make_failing, config), check)) as envs:
        envs.reset([0])
        with pytest.raises(Preempted):
            for _ in range(3):
                envs.step(np.zeros(1, np.int64))


def make_failing(config: EnvConfig, index: int) -> gymnasium.Env[Any, Any]:
    return gymnasium.make(config.id, **config.kwargs)


def test_processes_of_environments_leave_signals_to_the_run() -> None:
    config = EnvConfig("CartPole-v1", num_envs=2, vectorization=Vectorization.subprocess)
    with closing(TrainingEnvs(config, 0)) as envs:
        envs.reset()
        processes = envs._envs._envs.processes  # type: ignore[union-attr]
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            for process in processes:
                os.kill(int(process.pid or 0), number)
        time.sleep(0.1)
        state = envs.saved_state()
        assert state["envs"] is not None and envs.restarts == 0
        stepped(envs, np.ones(2, np.int64))
    assert not any(process.is_alive() for process in processes)
