"""Episodes of a data set as the environment of a run would pay for them, and end them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rql.config.choices import Reward, SuccessOf
from rql.config.data import EnvConfig
from rql.data.episodes import Episode
from rql.envs.success import ends_at_success, paid
from rql.utils.tree import map_leaves


@dataclass(frozen=True)
class Relabelling:
    """What becomes of an episode of a data set."""

    reward: Reward = Reward.environment
    """What a step pays."""
    ends: bool = False
    """Whether success ends an episode."""
    success: SuccessOf = SuccessOf.recorded
    """Which steps succeeded."""

    @classmethod
    def of(cls, env: EnvConfig, success: SuccessOf) -> "Relabelling":
        """As the environment of a run does it."""
        return cls(env.reward, ends_at_success(env), success)

    def __call__(self, episode: Episode) -> Episode:
        """The episode as it is to be.

        Raises:
            ValueError: if it says not whether it succeeded, where that must be known.
        """
        if not self.ends:
            return episode
        success = self._successes(episode)
        reached = np.flatnonzero(success)
        steps = int(reached[0]) + 1 if len(reached) else len(success)
        columns = episode._replace(rewards=paid(self.reward, np.asarray(episode.rewards), success), success=success)
        short: Episode = map_leaves(lambda column: np.array(column[:steps]), columns)
        if len(reached):
            short.terminated[-1], short.truncated[-1] = True, False
        return short

    def _successes(self, episode: Episode) -> NDArray[Any]:
        if self.success is SuccessOf.last_step:
            success = np.zeros(len(episode.rewards))
            success[-1:] = 1.0
            return success
        if episode.success is None:
            remedy = "dataset.success=last_step takes the last step of each episode for it"
            raise ValueError(f"does not say whether it succeeded ({remedy})")
        return np.asarray(episode.success, dtype=np.float64).reshape(-1)


AS_IT_IS = Relabelling()
