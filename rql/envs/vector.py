"""What a vectorised environment that resets within a step hides in `infos`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rql.envs.spaces import ObservationSpec
from rql.utils.tree import map_leaves


def last_observations(
    spec: ObservationSpec, following: NDArray[Any], done: NDArray[np.bool_], infos: dict[str, Any]
) -> NDArray[Any]:
    """The observation that each step led to, as it is kept: where an episode ended its own last one, and not the first
    of the next, which `following` (n, …) holds.
    """
    if not done.any():
        return following
    result = following.copy()
    for index in np.flatnonzero(done):
        result[index] = spec.stored(map_leaves(lambda leaf: np.asarray(leaf)[None], infos["final_obs"][index]))[0]
    return result
