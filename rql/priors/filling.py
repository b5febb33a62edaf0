"""What a prior proposes at the observations of a data set, as a column of it."""

import hashlib
import io
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rql.config.schema import Config
from rql.data.batch import NEXT_PROPOSALS
from rql.data.cache import PROPOSALS_SUFFIX, cache_folder
from rql.data.columns import NEXT_OBS, OBS, PROPOSALS, Column, first_rows
from rql.data.transitions import Transitions, seen
from rql.envs.spaces import Spaces
from rql.priors.base import FILLING, Prior, Proposed, Proposer, asked_for, prior_draws
from rql.utils.errors import RQLError
from rql.utils.files import seal, unseal, write_atomically

CHUNK = 4096
"""Observations that a prior without a memory is asked about at once."""
logger = logging.getLogger(__name__)


def with_proposals(data: Transitions, prior: Prior, spaces: Spaces, config: Config) -> Transitions:
    """The data set with the column `proposals`, from the cache where the same prior was asked about it before.

    A prior with a memory is led through each episode from its beginning.

    Raises:
        RQLError: if it does not answer, or not with actions.
    """
    asked = asked_for(config)
    if prior.stateful and NEXT_OBS in data.columns:
        what = f"the prior {prior.name} remembers the episode so far"
        raise RQLError(f"{what}, and the steps of data set {data.name} do not follow each other")
    columns = {PROPOSALS: OBS} | ({NEXT_PROPOSALS: NEXT_OBS} if NEXT_OBS in data.columns else {})
    found = {}
    for name, of in columns.items():
        path = _path(data, prior, config, name) if prior.digest else None
        known = _cached(path) if path else None
        if known is None:
            draws = prior_draws(config.seed if prior.stochastic else 0)
            known = _filled(data, Proposer(prior, spaces, *asked, draws, FILLING), data.columns[of])
            if path:
                _keep(path, known)
        found[name] = known
    return replace(data, columns={**data.columns, **found})


def _filled(data: Transitions, asking: Proposer, obs: Column) -> Proposed:
    """What is proposed at each row (R, …): (R, K, d)."""
    parts = []
    for rows, begins in _batches(data, asking.stateful):
        if begins:
            asking.begin(np.zeros(1, np.int64))
        parts.append(asking.propose(seen(obs[rows])))
    return np.concatenate(parts)


def _batches(data: Transitions, one_by_one: bool) -> Iterator[tuple[slice, bool]]:
    """Rows to ask about together, and whether an episode begins with them."""
    if one_by_one:
        first = {int(row) for row in first_rows(data.lengths)}
        yield from ((slice(row, row + 1), row in first) for row in range(len(data.columns[OBS])))
    else:
        for start in range(0, len(data.columns[OBS]), CHUNK):
            yield slice(start, start + CHUNK), False


def _path(data: Transitions, prior: Prior, config: Config, name: str) -> Path:
    seed = config.seed if prior.stochastic else 0
    identity = hashlib.sha256(f"{data.checksum} {prior.digest} {asked_for(config)} {seed} {name}".encode())
    return cache_folder(config.dataset.cache) / f"{identity.hexdigest()[:32]}{PROPOSALS_SUFFIX}"


def _cached(path: Path) -> Proposed | None:
    if not path.exists():
        return None
    try:
        found: NDArray[np.float32] = np.load(io.BytesIO(unseal(path)), allow_pickle=False)
    except (RQLError, ValueError, OSError) as error:
        logger.warning("%s; the prior is asked again", error)
        return None
    return found


def _keep(path: Path, proposals: Proposed) -> None:
    content = io.BytesIO()
    np.save(content, proposals)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, seal(content.getvalue()))
    except OSError as error:
        logger.warning("what the prior proposes cannot be kept in %s: %s", path, error)
