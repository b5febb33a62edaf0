"""The environments that a policy is finetuned in: vectorised, restarted when they fail, saved and restored."""

import logging
from functools import partial
from typing import Any

from gymnasium.vector import AutoresetMode

from rql.config.data import EnvConfig
from rql.envs.guarded import EnvFailedError, Failures, GuardedEnvs
from rql.envs.make import make_env
from rql.envs.restorable import Restorable
from rql.utils.errors import RQLError

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
        self.num_envs, self._failures = config.num_envs, Failures(config)
        self._envs = self._make()

    @property
    def restarts(self) -> int:
        """How often they were made anew."""
        return self._failures.count

    def reset(self) -> Any:
        """The first observations of an episode in each environment.

        Raises:
            RQLError: if they failed more than `env.max_restarts` times, or always do.
        """
        try:
            return self._envs.reset(self._seed + self.num_envs * self.restarts)[0]
        except EnvFailedError as error:
            return self._restart(error)

    def send(self, action: Any) -> None:
        """Have each begin a step."""
        self._envs.send(action)

    def receive(self) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """What the steps that were begun brought.

        Raises:
            RestartError: if one of them failed.
            RQLError: if that happened more than `env.max_restarts` times, or always does.
        """
        try:
            return self._envs.receive()
        except EnvFailedError as error:
            raise RestartError(self._restart(error)) from error

    def saved_state(self) -> dict[str, Any]:
        """How many restarts there were, and the state of each environment if it is known to be all of it."""
        try:
            states = list(self._envs.call("saved_state"))
        except EnvFailedError:  # the next step finds that out too
            states = [None]
        return {"restarts": self.restarts, "envs": None if any(state is None for state in states) else states}

    def load(self, saved: dict[str, Any], drop_seed: int) -> Any:
        """Go on from `saved_state`; where the environments' own state is not known, from the start of new episodes
        (with a seed of their own), whose observations are returned.
        """
        self._failures.count = saved["restarts"]
        try:
            obs = self._envs.reset(drop_seed)[0]
            if saved["envs"] is None:
                return obs
            self._envs.call("load_states", saved["envs"])
        except EnvFailedError as error:
            return self._restart(error)
        return None

    def close(self) -> None:
        """End all of them, whatever they are doing."""
        self._envs.close()

    def _make(self) -> GuardedEnvs:
        make = partial(_make_restorable, self._config)
        return GuardedEnvs(self._config, self.num_envs, AutoresetMode.SAME_STEP, make)

    def _restart(self, error: EnvFailedError) -> Any:
        too_often = self._failures.add(error)
        if too_often:
            raise RQLError(f"{self._config.id} failed {too_often}") from error
        logger.warning(
            "%s failed (%s); restart %d, running episodes are dropped", self._config.id, error, self.restarts
        )
        self.close()
        self._envs = self._make()
        return self.reset()


def _make_restorable(config: EnvConfig, index: int) -> Restorable:
    return Restorable(make_env(config), index)
