"""What a vectorised environment that resets within a step hides in `infos`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rql.envs.spaces import ObservationSpec


def last_observations(
    spec: ObservationSpec, following: NDArray[np.float32], done: NDArray[np.bool_], infos: dict[str, Any]
) -> NDArray[np.float32]:
    """s' of each transition: where an episode ended, its own last observation and not the first of the next one."""
    if not done.any():
        return following
    result = following.copy()
    for index in np.flatnonzero(done):
        result[index] = spec.flatten_one(infos["final_obs"][index])
    return result
