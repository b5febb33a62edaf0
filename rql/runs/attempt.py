"""One attempt at the stages of a run, from its beginning or from a checkpoint, to its end or to a signal."""

import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch

from rql.agents.base import Agent, TrainingStage
from rql.agents.saving import restored
from rql.config.agents.base import StageData
from rql.data.dataset import Dataset
from rql.data.journal import Journal
from rql.envs.training import TrainingEnvs
from rql.runs.callbacks import Callback, Report
from rql.runs.checkpoints import Checkpoint, Checkpoints
from rql.runs.interruption import Interruption
from rql.runs.setup import Setup
from rql.training.online import OnlineTrainer
from rql.training.progress import Progress
from rql.training.trainer import DatasetTrainer, Trainer
from rql.utils.errors import DivergenceError, EvaluationError, Preempted
from rql.utils.random import stream_seed
from rql.utils.tree import leaves_of

logger = logging.getLogger(__name__)


class Trainers:
    """Makes the trainer of each stage."""

    def __init__(self, agent: Agent[Any], setup: Setup, journal: Journal | None, stack: ExitStack) -> None:
        """`stack` closes the environments."""
        self._agent, self._setup, self._journal, self._stack = agent, setup, journal, stack
        offline, demonstrations = setup.offline, setup.demonstrations
        self._data: dict[StageData, Dataset | None] = dict.fromkeys(StageData)
        if offline is not None and demonstrations is not None:
            data = Dataset(offline, setup.device)
            cloned = data if demonstrations is offline else Dataset(demonstrations, setup.device)
            self._data = {StageData.demonstrations: cloned, StageData.offline: data, StageData.online: data}

    def skips(self, stage: TrainingStage[Any]) -> bool:
        """Whether a stage has no steps; a baseline is evaluated all the same."""
        section = getattr(self._setup.config, stage.info.name)
        steps = section.env_steps if stage.info.online else section.updates
        return not steps and not stage.info.baseline

    def make(self, stage: TrainingStage[Any], state: Any) -> Trainer:
        """The trainer of a stage, from a state of the agent."""
        setup, data = self._setup, self._data[stage.info.data]
        if not stage.info.online:
            return DatasetTrainer(self._agent, stage, state, data, setup.reward, setup.config)
        envs = TrainingEnvs(setup.config.env, stream_seed(setup.config.seed, "envs"))
        self._stack.callback(envs.close)
        spaces, reward, config = setup.spaces, setup.reward, setup.config
        prior, journal = setup.asked_prior, self._journal
        return OnlineTrainer(self._agent, stage, state, data, envs, spaces, reward, journal, config, prior)


class Attempt:
    """Goes through the stages, with a checkpoint whenever one is due."""

    def __init__(
        self,
        trainers: Trainers,
        callbacks: dict[str, Callback],
        checkpoints: Checkpoints,
        interruption: Interruption,
        start: Checkpoint | None,
        rollbacks: int,
    ) -> None:
        """`start` is where it begins; `rollbacks` are the returns to earlier checkpoints so far."""
        self._trainers, self._callbacks, self._checkpoints = trainers, callbacks, checkpoints
        self._interruption, self._start, self._rollbacks = interruption, start, rollbacks
        if start:
            for name in start.progress["callbacks"].keys() & callbacks.keys():  # films may be off by now
                callbacks[name].load(start.progress["callbacks"][name])

    def run(self, stages: Sequence[TrainingStage[Any]], state: Any) -> Any:
        """Train all stages that are not over; the state of the agent at the end.

        Raises:
            Preempted: if a signal asks the run to end; a checkpoint is there then.
            EvaluationError: if an evaluation cannot be made; a checkpoint is there then too.
            DivergenceError: if the training has diverged.
        """
        for stage in stages:
            state = stage.enter(state)
            here = self._start if self._start and self._start.stage == stage.info.name else None
            if here:
                state = restored(state, here.tensors)
            over = self._start is not None and self._start.passed(stage.info.name)
            if not over and not self._trainers.skips(stage):
                state = self._train(self._trainers.make(stage, state), here)
        return state

    def _train(self, trainer: Trainer, start: Checkpoint | None) -> Any:
        pending = self._restore(trainer, start) if start else None
        for callback in self._callbacks.values():
            callback.begin(trainer, fresh=start is None)
        with self._interruption.deferred():
            self._loop(trainer, pending)
        return trainer.state

    def _restore(self, trainer: Trainer, start: Checkpoint) -> Progress | None:
        if isinstance(trainer, OnlineTrainer) and start.replay is not None:
            trainer.replay.restore(start.replay, start.progress["replay"]["state"])
        trainer.load(start.progress["stage_state"])
        pending = start.progress["pending"]
        return Progress(*pending) if pending else None

    def _loop(self, trainer: Trainer, progress: Progress | None) -> None:
        ended = False
        while not ended:
            before = trainer.step
            try:
                self._interruption.check()
                if progress is None:
                    progress = self._advance(trainer)
                if progress is not None:
                    ended = self._report(trainer, progress)
                    progress = None
            except (Preempted, EvaluationError):
                self._save(trainer, ended, progress)
                raise
            if ended or self._checkpoints.is_due(trainer, before):
                self._save(trainer, ended, progress)

    def _advance(self, trainer: Trainer) -> Progress | None:
        started, before = time.monotonic(), trainer.executor.compile_seconds
        progress = trainer.advance()
        compiling = trainer.executor.compile_seconds - before
        for callback in self._callbacks.values():
            callback.trained(time.monotonic() - started - compiling, compiling)
        return progress

    def _report(self, trainer: Trainer, progress: Progress) -> bool:
        report = Report.of(trainer, progress)
        for callback in self._callbacks.values():
            callback.report(report)
        return report.ended

    def _save(self, trainer: Trainer, ended: bool, pending: Progress | None) -> None:
        """Save everything; `pending` is a report that no callback has seen."""
        if not all(bool(torch.isfinite(value).all()) for value in leaves_of(trainer.state)):
            raise DivergenceError(f"a parameter is not finite at {trainer.info.name} step {trainer.step}")
        try:
            progress: dict[str, Any] = {
                "pending": (pending.step, pending.metrics, pending.evaluate) if pending else None,
                "callbacks": {name: callback.saved_state() for name, callback in self._callbacks.items()},
                "rollbacks": self._rollbacks,
            }
            self._checkpoints.save(trainer, ended, progress)
        except OSError as error:
            where = f"{trainer.info.name} step {trainer.step}"
            logger.warning("no checkpoint could be written at %s: %s", where, error)
