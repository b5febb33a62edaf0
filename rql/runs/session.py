"""Going through the stages of a run, with a checkpoint whenever one is due."""

import logging
import time
from collections.abc import Callable
from typing import Any

import torch

from rql.agents.saving import fill, named_tensors
from rql.agents.state import AgentState
from rql.runs.checkpoints import Checkpoint, Checkpoints
from rql.runs.interruption import Interruption
from rql.runs.observer import Observer
from rql.training.finetuning import Finetuning
from rql.training.progress import Progress, Stage
from rql.training.stages import TrainingStage
from rql.utils.errors import DivergenceError, EvaluationError, Preempted

logger = logging.getLogger(__name__)

Pending = tuple[int, dict[str, float], bool]


class Session:
    """One attempt at the stages of a run, from its beginning or from a checkpoint."""

    def __init__(
        self,
        observer: Observer,
        checkpoints: Checkpoints,
        interruption: Interruption,
        start: Checkpoint | None,
        rollbacks: int,
    ) -> None:
        self._observer, self._checkpoints, self._interruption = observer, checkpoints, interruption
        self._start, self._rollbacks = start, rollbacks

    def stage(self, name: Stage, state: AgentState, make: Callable[[AgentState], TrainingStage]) -> AgentState:
        """Train a stage to its end, unless the checkpoint is from after it; the agent at its end.

        Raises:
            Preempted: if a signal asks the run to end; a checkpoint is there then.
            EvaluationError: if an evaluation cannot be made; a checkpoint is there then too.
            DivergenceError: if the training has.
        """
        start = self._start
        if start and start.passed(name):
            return fill(state, start.tensors) if start.stage == name else state
        stage = make(fill(state, start.tensors) if start and start.stage == name else state)
        pending: Progress | None = None
        resumed = start is not None and start.stage == name
        if start and resumed:
            pending = self._load(stage, start)
        self._observer.begin(stage, fresh=not resumed)
        with self._interruption.deferred():
            self._train(stage, pending)
        return stage.state

    def _load(self, stage: TrainingStage, start: Checkpoint) -> Progress | None:
        if isinstance(stage, Finetuning) and start.rows is not None:
            rows = torch.from_numpy(start.rows).to(stage.replay.rows.device)
            stage.replay.restore(rows, start.progress["replay"]["rows"])
        stage.load(start.progress["stage_state"])
        pending: Pending | None = start.progress["pending"]
        return Progress(*pending) if pending else None

    def _train(self, stage: TrainingStage, tick: Progress | None) -> None:
        ended = False
        while not ended:
            before = stage.step
            try:
                self._interruption.check()
                if tick is None:
                    started = time.monotonic()
                    tick = stage.advance()
                    self._observer.time(time.monotonic() - started)
                if tick is not None:
                    ended = self._observer.attend(stage, tick)
                    tick = None
            except (Preempted, EvaluationError):
                self._save(stage, ended, tick)
                raise
            if ended or self._checkpoints.is_due(stage, before):
                self._save(stage, ended, tick)

    def _save(self, stage: TrainingStage, ended: bool, tick: Progress | None) -> None:
        if not all(bool(torch.isfinite(value).all()) for _, value in named_tensors(stage.state)):
            raise DivergenceError(f"a parameter is not finite at {stage.name} step {stage.step}")
        pending = (tick.step, tick.metrics, tick.evaluate) if tick else None
        try:
            progress: dict[str, Any] = {
                "pending": pending,
                "observer": self._observer.saved_state(),
                "rollbacks": self._rollbacks,
            }
            self._checkpoints.save(stage, ended, progress)
        except OSError as error:
            logger.warning("no checkpoint could be written at %s step %d: %s", stage.name, stage.step, error)
