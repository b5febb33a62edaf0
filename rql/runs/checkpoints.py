"""The whole state of a run on disk, so that it can be killed at any moment and go on."""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rql.agents.saving import END, Tensors, read_checkpoint, save_agent
from rql.config.schema import Config
from rql.data.replay_log import ReplayLog
from rql.training.online import OnlineTrainer
from rql.training.progress import due
from rql.training.trainer import Trainer
from rql.utils.errors import DamagedError, RQLError
from rql.utils.files import CHECKPOINTS
from rql.utils.store import Arrays

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
    replay: Arrays | None
    """The steps that the replay buffer holds, as `ReplayBuffer.since` gives them."""

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

    def __init__(self, directory: Path, config: Config, prior_digest: str = "") -> None:
        self.directory, self._config, self._prior_digest = directory / CHECKPOINTS, config, prior_digest
        self._order = tuple(info.name for info in config.table.stages)
        self._log = ReplayLog(self.directory / "replay")
        self._last = time.monotonic()
        self._first_steps: dict[Path, int] = {}
        """The first transition that each checkpoint needs."""

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
        first = 0
        whole = progress | {"ended": ended, "stage_state": trainer.saved_state(), "replay": None}
        if isinstance(trainer, OnlineTrainer):
            replay = trainer.replay
            self._log.append(replay.since(self._log.appended), replay.appended)
            whole["replay"] = {"files": self._log.described(), "kept": replay.kept, "state": replay.saved_state()}
            first = replay.appended - replay.kept
        stage = trainer.info.name
        path = self.directory / f"{self._order.index(stage)}-{stage}-{trainer.step:010d}{END if ended else ''}.pt"
        save_agent(path, trainer.state, self._config, stage, whole, self._prior_digest)
        self._first_steps[path] = first
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
            if found.replay is None:
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
        steps = self._log.read(replay["files"], replay["kept"]) if replay and replay["kept"] else None
        return Checkpoint(path, saved.tensors, saved.stage, self._order, saved.progress["ended"], saved.progress, steps)

    def _newest_first(self) -> Iterator[Path]:
        return iter(sorted(self.directory.glob("*-*-*.pt"), key=lambda path: path.stem, reverse=True))

    def _forget_after(self, path: Path) -> None:
        for newer in self._newest_first():
            if newer == path:
                return
            newer.rename(newer.with_name(newer.name + DAMAGED))

    def _prune(self) -> None:
        """Keep the newest ones, those at the end of all stages but the last, and the part of the log that they need."""
        last = f"{len(self._order) - 1}-"
        running = [path for path in self._newest_first() if not path.stem.endswith(END) or path.stem.startswith(last)]
        for path in running[self._config.checkpoint.keep :]:
            path.unlink(missing_ok=True)
            self._first_steps.pop(path, None)
        online = [path for path in self._newest_first() if path.stem.startswith(last)]
        if online and all(path in self._first_steps for path in online):
            self._log.forget_before(min(self._first_steps[path] for path in online))
