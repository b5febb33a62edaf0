"""The whole state of a run on disk, so that it can be killed at any moment and go on."""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rql.agents.saving import END, Tensors, read_checkpoint, save_agent
from rql.config.schema import Config
from rql.data.replay_log import ReplayLog
from rql.training.online import OnlineTrainer
from rql.training.progress import due
from rql.training.trainer import Trainer
from rql.utils.errors import DamagedError, RQLError
from rql.utils.files import CHECKPOINTS

DAMAGED = ".damaged"
MINUTE = 60.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """One that was read and found whole."""

    path: Path
    tensors: Tensors
    stage: str
    order: tuple[str, ...]
    """The stages of the agent, in their order."""
    ended: bool
    """Whether the stage had come to its end."""
    progress: dict[str, Any]
    """`stage_state`, and what the run added to it."""
    rows: NDArray[np.float32] | None
    """The replay buffer (n, width)."""

    @property
    def step(self) -> int:
        """How far the stage had come."""
        return int(self.progress["stage_state"]["step"])

    def passed(self, stage: str) -> bool:
        """Whether a stage was over."""
        before = self.order.index(stage) < self.order.index(self.stage)
        return before or (stage == self.stage and self.ended)


class Checkpoints:
    """Writes and reads the checkpoints of one run."""

    def __init__(self, directory: Path, config: Config, width: int) -> None:
        """`width` is that of a packed transition."""
        self.directory, self._config = directory / CHECKPOINTS, config
        self._order = tuple(info.name for info in config.agent.stages)
        self._log = ReplayLog(self.directory / "replay", width)
        self._last = time.monotonic()
        self._first_rows: dict[Path, int] = {}

    def is_due(self, trainer: Trainer, before: int) -> bool:
        """Whether a training, which was at step `before`, should be saved where it is now."""
        waited = time.monotonic() - self._last
        every = self._config.checkpoint.steps
        return waited >= MINUTE * self._config.checkpoint.minutes or (
            every is not None and due(before, trainer.step, every, trainer.total + every)
        )

    def save(self, trainer: Trainer, ended: bool, progress: dict[str, Any]) -> None:
        """Save everything.

        Raises:
            OSError: if it cannot be written; then the checkpoints before are as they were.
        """
        self._last = time.monotonic()
        self.directory.mkdir(parents=True, exist_ok=True)
        first_row = 0
        whole = progress | {"ended": ended, "stage_state": trainer.saved_state(), "replay": None}
        if isinstance(trainer, OnlineTrainer):
            self._log.append(trainer.replay.since(self._log.rows).cpu().numpy())
            whole["replay"] = self._log.described() | {"kept": trainer.replay.size}
            first_row = self._log.rows - trainer.replay.size
        stage = trainer.info.name
        path = self.directory / f"{self._order.index(stage)}-{stage}-{trainer.step:010d}{END if ended else ''}.pt"
        save_agent(path, trainer.state, self._config, stage, whole)
        self._first_rows[path] = first_row
        self._prune()

    def newest(self) -> Checkpoint | None:
        """The newest one that is whole; None if there is none at all. Damaged ones are renamed.

        Raises:
            RQLError: if all are damaged, or the newest is of a newer version or cannot be read.
        """
        damaged: list[str] = []
        for path in self._newest_first():
            try:
                found = self._read(path)
            except DamagedError as error:
                damaged.append(f"{path.name} ({error})")
                continue
            if damaged:
                logger.warning(
                    "checkpoint %s cannot be used; the run goes on from %s", " and ".join(damaged), path.name
                )
            self._forget_after(path)
            if found.rows is None:
                self._log.restart()
            return found
        if damaged:
            raise RQLError(f"no checkpoint in {self.directory} can be used: {'; '.join(damaged)}")
        self._log.restart()
        return None

    def drop(self, checkpoint: Checkpoint) -> None:
        """Delete one that led to nothing."""
        checkpoint.path.unlink()

    def _read(self, path: Path) -> Checkpoint:
        saved = read_checkpoint(path)
        if not isinstance(saved.progress, dict) or saved.stage not in self._order:
            raise RQLError(f"{path} holds an agent and not the state of a run")
        replay = saved.progress["replay"]
        rows = self._log.read(replay, replay["kept"]) if replay else None
        return Checkpoint(path, saved.tensors, saved.stage, self._order, saved.progress["ended"], saved.progress, rows)

    def _newest_first(self) -> Iterator[Path]:
        return iter(sorted(self.directory.glob("*-*-*.pt"), key=lambda path: path.stem, reverse=True))

    def _forget_after(self, path: Path) -> None:
        for newer in self._newest_first():
            if newer == path:
                return
            newer.rename(newer.with_name(newer.name + DAMAGED))

    def _prune(self) -> None:
        """Keep the newest ones and those at the end of all stages but the last, and the rows that they need."""
        last = f"{len(self._order) - 1}-"
        running = [path for path in self._newest_first() if not path.stem.endswith(END) or path.stem.startswith(last)]
        for path in running[self._config.checkpoint.keep :]:
            path.unlink(missing_ok=True)
            self._first_rows.pop(path, None)
        online = [path for path in self._newest_first() if path.stem.startswith(last)]
        if online and all(path in self._first_rows for path in online):
            self._log.forget_before(min(self._first_rows[path] for path in online))
