"""What environments give is looked at before any work, and what always fails is not tried again and again."""

import logging
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from conftest import stepped
from gymnasium import spaces as gym_spaces

from rql.config.choices import Headline, Vectorization
from rql.config.data import EnvConfig
from rql.envs.guarded import EnvFailedError, Failures
from rql.envs.make import inspect_env
from rql.envs.training import RestartError, TrainingEnvs
from rql.envs.vector import reported_success
from rql.utils.errors import ConfigError, RQLError

BOX = gym_spaces.Box(-1.0, 1.0, (2,), np.float32)
BYTES = gym_spaces.Box(0, 255, (2,), np.uint8)
FINE = np.zeros(2, np.float32)


class Odd(gymnasium.Env[Any, Any]):
    """Gives what it is told to, and raises after so many steps of an episode."""

    action_space = gym_spaces.Discrete(2)

    def __init__(
        self,
        space: Any = BOX,
        obs: Any = FINE,
        reward: Any = 1.0,
        end: Any = False,
        info: Any = None,
        raises: int = 0,
        drift: float = 0.0,
    ) -> None:
        self.observation_space, self._raises, self._drift = space, raises, drift
        self._given = obs, reward, end, False, {} if info is None else info

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._steps = 0
        return self._given[0], {}

    def step(self, action: Any) -> Any:
        self._steps += 1
        if self._steps == self._raises:
            raise KeyError("no such joint")
        obs, *outcome = self._given
        return (obs + self._drift * self._steps if self._drift else obs, *outcome)


gymnasium.register("RQLTestOdd-v0", entry_point=lambda **kwargs: Odd(**kwargs), disable_env_checker=True)

ODD: dict[str, tuple[dict[str, Any], str]] = {
    "success in an array": ({"info": {"success": np.array([True])}}, r"info\['success'\] .*array\(\[ ?True\]\).*shape"),
    "success in words": ({"info": {"is_success": "yes"}}, r"info\['is_success'\] after a step is 'yes'"),
    "success unknown": ({"info": {"success": None}}, r"info\['success'\] .* is None, where True or False is needed"),
    "info": ({"info": [1]}, r"info after a step is \[1\], where a dictionary is needed"),
    "reward in an array": ({"reward": np.ones(1)}, r"reward is array\(\[1\.\]\) of shape \(1,\).*a finite number"),
    "reward in words": ({"reward": "1"}, r"reward is '1'"),
    "reward that is none": ({"reward": float("nan")}, r"reward is nan"),
    "flag in an array": ({"end": np.array([False])}, r"terminated is array\(\[False\]\)"),
    "shape": ({"obs": np.zeros(3)}, r"first observation is .*shape \(3,\).*\(2,\) numbers"),
    "words": ({"obs": np.array(["a", "b"])}, r"first observation is array\(\['a', 'b'\].*\(2,\) numbers"),
    "nan": ({"obs": np.array([0.0, np.nan])}, r"first observation is .*a finite number everywhere"),
    "a share of a byte": ({"space": BYTES, "obs": np.array([0.5, 1.0])}, r"what Box\(0, 255, \(2,\), uint8\) can hold"),
    "beyond a byte": ({"space": BYTES, "obs": np.array([300, 1])}, r"what Box\(0, 255, \(2,\), uint8\) can hold"),
    "no element": ({"space": gym_spaces.Discrete(3), "obs": 3}, r"first observation is 3, where an element of Discr"),
    "half an element": ({"space": gym_spaces.Discrete(3), "obs": 0.5}, r"is 0\.5, where what Discrete\(3\) can hold"),
    "no dictionary": ({"space": gym_spaces.Dict(a=BOX), "obs": FINE}, r"a dictionary with a is needed"),
    "in a dictionary": ({"space": gym_spaces.Dict(a=BOX), "obs": {"a": [1]}}, r"first observation a is \[1\]"),
    "no tuple": ({"space": gym_spaces.Tuple([BOX]), "obs": [FINE]}, r"a tuple of 1 is needed"),
    "far from 0": (
        {"space": gym_spaces.Box(-np.inf, np.inf, (2,), np.float64), "obs": np.array([1.7e9, 0.0]), "drift": 1.0},
        r"observations lose what they say: number 0 of each lies near 1\.7e\+09 with a standard deviation of 58\.",
    ),
    "raises": ({"raises": 1}, r" failed with KeyError 'no such joint'"),
}


@pytest.mark.parametrize(("given", "said"), ODD.values(), ids=ODD)
def test_an_odd_environment_is_refused_with_what_it_gave(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=f"RQLTestOdd-v0.*{said}"):
        inspect_env(EnvConfig(id="RQLTestOdd-v0", kwargs=given))


@pytest.mark.parametrize(
    "given",
    [
        {"obs": np.zeros(2), "reward": np.float32(1.0), "end": np.False_, "info": {"success": np.True_}},
        {"obs": [5.0, -5.0], "reward": 1, "end": 0, "info": {"is_success": 0.5}},
        {"space": BYTES, "obs": np.array([255.0, 1.0])},
        {"space": gym_spaces.Discrete(3, start=5), "obs": np.array(7)},
        {"space": gym_spaces.Box(0, np.inf, (2,), np.float64), "obs": np.array([5e7, 0.0]), "drift": 1.0},
    ],
    ids=["numpy", "plain", "bytes as floats", "an element", "a clock"],
)
def test_what_can_be_understood_is_taken(given: dict[str, Any]) -> None:
    inspect_env(EnvConfig(id="RQLTestOdd-v0", kwargs=given))


class Late(gymnasium.Env[Any, Any]):
    """Five steps, of which the last one says what it is told to say."""

    observation_space, action_space = BOX, gym_spaces.Discrete(2)

    def __init__(self, info: dict[str, Any], length: int = 5) -> None:
        self._info, self._length, self._steps = info, length, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._steps = 0
        return FINE, {}

    def step(self, action: Any) -> Any:
        self._steps += 1
        ended = self._steps >= self._length
        return FINE, 0.0, ended, False, self._info if ended else {}


gymnasium.register("RQLTestLate-v0", entry_point=lambda **kwargs: Late(**kwargs), disable_env_checker=True)


@pytest.mark.parametrize(
    "given",
    [{"info": {"success": False}}, {"info": {"is_success": True}}, {"info": {}, "length": 10**9}],
    ids=["a failure at the end", "a success at the end", "no end"],
)
def test_a_headline_of_success_needs_a_word_on_it_in_an_episode_that_ends(given: dict[str, Any]) -> None:
    inspect_env(EnvConfig(id="RQLTestLate-v0", kwargs=given, headline=Headline.success))


def test_a_headline_of_success_is_refused_where_a_whole_episode_says_nothing_of_it() -> None:
    silent = EnvConfig(id="RQLTestLate-v0", kwargs={"info": {"won": True}})
    inspect_env(silent)
    with pytest.raises(ConfigError, match=r"env\.headline=success is .* return, .*RQLTestLate-v0 has neither"):
        inspect_env(replace(silent, headline=Headline.success))


def test_success_that_comes_late_is_a_number_or_a_sentence() -> None:
    vector = gymnasium.vector.SyncVectorEnv([lambda: Odd(info={"success": np.True_}), Odd])
    vector.reset()
    infos = vector.step(np.zeros(2, np.int64))[4]
    reported = reported_success(infos)
    assert reported is not None and reported.tolist() == [1.0, 0.0]
    assert reported_success({}) is None
    for odd in (np.array([True]), None, "yes"):
        vector = gymnasium.vector.SyncVectorEnv([partial(Odd, info={"success": odd})])
        vector.reset()
        with pytest.raises(RQLError, match=r"reports info\['success'\] as"):
            reported_success(vector.step(np.zeros(1, np.int64))[4])


def test_what_always_fails_is_tried_three_times(caplog: Any) -> None:
    config = EnvConfig("RQLTestOdd-v0", {"raises": 4}, vectorization=Vectorization.sync)
    with closing(TrainingEnvs(config, 0)) as envs, caplog.at_level(logging.WARNING):
        envs.reset()
        said = r"RQLTestOdd-v0 failed 3 times in a row after 3 steps, always with KeyError: 'no such joint'"
        with pytest.raises(RQLError, match=said):
            while True:
                try:
                    stepped(envs, np.zeros(1, np.int64))
                except RestartError:
                    continue
        assert envs.restarts == 3 and caplog.text.count("running episodes are dropped") == 2


def test_failures_that_differ_are_no_certainty() -> None:
    failures = Failures(EnvConfig(id="x", max_restarts=10))
    for steps in (1, 1, 2, 2, 1, 1):
        error = EnvFailedError("the simulation is unstable")
        error.steps = steps
        assert failures.add(error) is None
    assert failures.count == 6


def test_failures_before_the_first_step_may_be_chance() -> None:
    failures = Failures(EnvConfig(id="x", max_restarts=5))
    refused = [failures.add(EnvFailedError("connection refused")) for _ in range(6)]
    assert refused[:5] == [None] * 5 and str(refused[5]).startswith("6 times, more than env.max_restarts=5")
