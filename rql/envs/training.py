"""The environments that a policy is finetuned in: vectorised, restarted when they fail, saved and restored."""

import ctypes
import logging
import os
import signal
from functools import partial
from typing import Any

from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from rql.config.choices import Vectorization
from rql.config.data_schema import EnvConfig
from rql.envs.make import make_env
from rql.envs.restorable import Restorable
from rql.errors import RQLError

PR_SET_PDEATHSIG = 1
logger = logging.getLogger(__name__)


class RestartError(Exception):
    """The environments failed and were made anew; all running episodes are lost."""

    def __init__(self, obs: Any) -> None:
        super().__init__()
        self.obs = obs


class TrainingEnvs:
    """`env.num_envs` environments that reset within the step in which an episode ends."""

    def __init__(self, config: EnvConfig, seed: int) -> None:
        self._config, self._seed = config, seed
        self.num_envs, self.restarts = config.num_envs, 0
        self._envs = self._make()

    def reset(self) -> Any:
        """The first observations of an episode in each environment."""
        return self._envs.reset(seed=self._seed + self.restarts)[0]

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """One step of each.

        Raises:
            RestartError: if one of them raised, or did not answer within `env.step_timeout` seconds.
            RQLError: if that happened more than `env.max_restarts` times.
        """
        try:
            if isinstance(self._envs, AsyncVectorEnv):
                self._envs.step_async(action)
                return self._envs.step_wait(self._config.step_timeout)
            return self._envs.step(action)
        except Exception as error:  # whatever an environment raises, or the pipe to its process
            raise RestartError(self._restart(error)) from error

    def saved_state(self) -> dict[str, Any]:
        """How many restarts there were, and the state of each environment if it is known to be all of it."""
        states = list(self._envs.call("saved_state"))
        return {"restarts": self.restarts, "envs": None if any(state is None for state in states) else states}

    def load(self, saved: dict[str, Any], drop_seed: int) -> Any:
        """Go on from `saved_state`; where the environments' own state is not known, from the start of new episodes
        (with a seed of their own), whose observations are returned.
        """
        self.restarts = saved["restarts"]
        obs = self._envs.reset(seed=drop_seed)[0]
        if saved["envs"] is None:
            return obs
        self._envs.call("load_states", saved["envs"])
        return None

    def close(self) -> None:
        """End all of them, whatever they are doing."""
        if isinstance(self._envs, AsyncVectorEnv):
            # its own way of closing waits for an answer, and for processes that heed SIGTERM
            for process, pipe in zip(self._envs.processes, self._envs.parent_pipes, strict=True):
                process.kill()
                process.join()
                if pipe is not None:
                    pipe.close()
            self._envs.closed = True
        else:
            self._envs.close()

    def _make(self) -> SyncVectorEnv | AsyncVectorEnv:
        make = [partial(_make_restorable, self._config, index, os.getpid()) for index in range(self.num_envs)]
        cls = SyncVectorEnv if self._config.vectorization is Vectorization.sync else AsyncVectorEnv
        return cls(make, autoreset_mode=AutoresetMode.SAME_STEP)

    def _restart(self, error: Exception) -> Any:
        self.restarts += 1
        what = f"{type(error).__name__}: {(str(error) or 'no answer').splitlines()[0]}"
        if self.restarts > self._config.max_restarts:
            times = f"{self.restarts} times, more than env.max_restarts={self._config.max_restarts}"
            raise RQLError(f"{self._config.id} failed {times}; the last time with {what}") from error
        logger.warning("%s failed (%s); restart %d, running episodes are dropped", self._config.id, what, self.restarts)
        self.close()
        self._envs = self._make()
        return self.reset()


def _make_restorable(config: EnvConfig, index: int, run: int) -> Restorable:
    if os.getpid() != run:
        _follow_parent()
    return Restorable(make_env(config), index)


def _follow_parent() -> None:
    """Leave signals to the parent, which saves the state of its environments first, and end when it does."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    except (OSError, AttributeError):
        logger.debug("processes of environments outlive a killed run on this system")
