"""What vectorised environments say in `infos`, and what those that reset within a step hide there."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rql.envs.goals import SUCCESS_KEYS
from rql.envs.spaces import ObservationSpec
from rql.utils.errors import RQLError
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


def reported_success(infos: dict[str, Any]) -> NDArray[np.float64] | None:
    """(n,): what each environment reports, 0 where it reports nothing at this step.

    Raises:
        RQLError: if that is no truth value.
    """
    for key in SUCCESS_KEYS:
        if key in infos:
            said = infos.get(f"_{key}", np.ones(len(infos[key]), np.bool_))
            values = [value if given else 0.0 for value, given in zip(infos[key], said, strict=True)]
            try:
                reported = np.array(values).astype(np.float64)
            except (TypeError, ValueError):
                reported = np.empty(0)
            if reported.shape != (len(values),) or not np.isfinite(reported).all():
                raise RQLError(f"the environment reports info[{key!r}] as {values}, where True or False is needed")
            return reported
    return None


def success_of_steps(done: NDArray[np.bool_], infos: dict[str, Any]) -> NDArray[np.float64] | None:
    """(n,): what each environment reports of its step, also where it was the last one of an episode.

    Raises:
        RQLError: if that is no truth value.
    """
    going, last = reported_success(infos), reported_success(infos.get("final_info", {}))
    if going is None or last is None:
        return last if going is None else going
    return np.where(done, last, going)
