"""The replay buffer on disk."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rql.data.replay_log import ReplayLog
from rql.utils.errors import DamagedError
from rql.utils.tree import same


def test_the_log_of_a_ring_forgets_what_no_checkpoint_needs(tmp_path: Path) -> None:
    log = ReplayLog(tmp_path)
    for first in range(0, 30, 10):
        log.append(numbered_steps(first, 10), first + 10)
    log.forget_before(19)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000001.npz", "000002.npz"]
    described = log.described()
    log.append(numbered_steps(30, 4), 34)
    again = ReplayLog(tmp_path)
    assert same(again.read(described, 11), numbered_steps(19, 11))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000001.npz", "000002.npz"]
    again.append(numbered_steps(30, 1), 31)
    assert same(ReplayLog(tmp_path).read(again.described(), 3), numbered_steps(28, 3))


def numbered_steps(first: int, count: int) -> dict[str, Any]:
    """Steps whose every column says which they are; each fourth begins an episode."""
    number = np.arange(first, first + count)
    return {"obs": number * 1.0, "begins": number % 4 == 0, "last_obs": number[number % 4 == 0] - 0.5}


def test_a_file_of_the_log_is_not_taken_for_another(tmp_path: Path) -> None:
    log = ReplayLog(tmp_path)
    log.append(numbered_steps(0, 10), 10)
    (tmp_path / "000000.npz").rename(tmp_path / "other")
    other = ReplayLog(tmp_path)
    with pytest.raises(DamagedError, match=r"000000\.npz is gone"):
        other.read(log.described(), 10)
    other.append(numbered_steps(0, 9), 9)
    with pytest.raises(DamagedError, match=r"000000\.npz is not the file that was written"):
        other.read(log.described(), 10)
