"""Training an agent in one of its stages: what all stages have in common, and those that learn from data alone."""

from abc import ABC, abstractmethod
from typing import Any

import torch

from rql.agents.base import Agent, TrainingStage
from rql.config.schema import Config
from rql.data.batch import Batch, Draw, RewardTransform
from rql.data.dataset import Dataset
from rql.optim.adam import Learned, gradient_norm
from rql.training.execute import Executor
from rql.training.progress import MetricMeans, Progress, due
from rql.utils.random import generator


class Trainer(ABC):
    """Trains step by step, and can be saved between any two steps."""

    def __init__(
        self,
        agent: Agent[Any],
        stage: TrainingStage[Any],
        state: Any,
        total: int,
        every: int,
        updates: float,
        reward: RewardTransform,
        config: Config,
    ) -> None:
        """Train from a state.

        Args:
            agent: whose stage it is.
            stage: what is trained.
            state: of the agent.
            total: steps of the stage: updates, or environment steps online.
            every: steps between evaluations; 0 waits for the last.
            updates: of the stage, about.
            reward: what the agent learns from.
            config: of the run.
        """
        self.agent, self.stage, self.info, self.state = agent, stage, stage.info, state
        self.total, self.step, self.updates = total, 0, 0
        self.means = MetricMeans(stage.info.name, config.watchdog.max_q)
        self.executor = Executor(stage.cycle, config.compile, config.precision, updates)
        self._every, self._log_every = every, config.tracking.log_every
        self._batch_size, device = config.batch_size, state.updates.device
        n_step = config.n_step if stage.n_step is None else stage.n_step
        self._draw = Draw(n_step, config.q.discount, config.chunk.length, agent.needs, reward)
        self._begun_at = {name: int(part.steps) for name, part in _learned_parts(state)}
        self._draws = generator(config.seed, stage.info.name, device)
        self._diagnosis_draws = generator(config.seed, f"{stage.info.name} diagnosis", device)

    @abstractmethod
    def advance(self) -> Progress | None:
        """Make one step; progress where there is something to report.

        Raises:
            DivergenceError: if the training has diverged.
        """

    @abstractmethod
    def sample(self, draws: torch.Generator) -> Batch:
        """A batch of transitions."""

    def saved_state(self) -> dict[str, Any]:
        """All but the agent's state that decides how the training goes on."""
        return {
            "step": self.step,
            "updates": self.updates,
            "begun_at": self._begun_at,
            "executor": self.executor.saved_state(),
            "means": self.means.saved_state(),
            "draws": self._draws.get_state(),
            "diagnosis_draws": self._diagnosis_draws.get_state(),
        }

    def load(self, saved: dict[str, Any]) -> None:
        """Go on from `saved_state`."""
        self.step, self.updates = saved["step"], saved["updates"]
        self._begun_at = dict(saved["begun_at"])
        self.executor.load(saved["executor"])
        self.means.load(saved["means"], self.state.updates.device)
        self._draws.set_state(saved["draws"])
        self._diagnosis_draws.set_state(saved["diagnosis_draws"])

    def update(self, hparams: Any) -> None:
        """Make one update of the agent on a fresh batch."""
        noise = self.stage.noise(self._batch_size, hparams, self._draws)
        batch = self.sample(self._draws)
        self.state, metrics = self.executor.update(self.updates, self.state, batch, noise, hparams)
        self.updates += 1
        self.means.add(metrics)

    def due_progress(self, before: int, extra: dict[str, float]) -> Progress | None:
        """Progress where it is due at this step, after step `before`, with the means and `extra` metrics."""
        evaluate = due(before, self.step, self._every, self.total)
        if not evaluate and not due(before, self.step, self._log_every, self.total):
            return None
        self._diagnose()
        metrics = self.means.means(self.step) | self._optimisation()
        return Progress(self.step, metrics | extra, evaluate)

    def hparams(self) -> Any:
        """The hyper-parameters at this step."""
        return self.agent.hparams(self.info.name, self.step)

    def can_sample(self) -> bool:
        """Whether there is anything to draw from."""
        return True

    def _optimisation(self) -> dict[str, float]:
        """The learning rate, where it has one of its own, and the gradient norm of each part that this stage trains."""
        hparams = self.hparams()._asdict()
        found: dict[str, float] = {}
        for name, part in _learned_parts(self.state):
            if part.steps > self._begun_at[name]:
                found[f"{name}_gradient_norm"] = float(gradient_norm(part))
                if (rate := f"{name}_learning_rate") in hparams:
                    found[rate] = float(hparams[rate])
        return found

    def _diagnose(self) -> None:
        diagnosis = self.stage.diagnosis
        if diagnosis is not None and self.can_sample():
            noise = diagnosis.noise(self._batch_size, self._diagnosis_draws)
            self.means.add(diagnosis.measure(self.state, self.sample(self._diagnosis_draws), noise))


def _learned_parts(state: Any) -> list[tuple[str, Learned]]:
    """What an agent learns, by the names of the fields of its state."""
    return [(name, part) for name, part in state._asdict().items() if isinstance(part, Learned) and part.params]


class DatasetTrainer(Trainer):
    """Repeats the updates of a stage on a data set."""

    def __init__(
        self,
        agent: Agent[Any],
        stage: TrainingStage[Any],
        state: Any,
        data: Dataset | None,
        reward: RewardTransform,
        config: Config,
    ) -> None:
        """`data` may be None where the stage has no updates."""
        section = getattr(config, stage.info.name)
        super().__init__(agent, stage, state, section.updates, section.eval_every, section.updates, reward, config)
        self._data = data

    def advance(self) -> Progress | None:
        """Make one update; none where the stage has none."""
        if not self.total:
            return Progress(0, {}, evaluate=True)
        self.step += 1
        self.update(self.hparams())
        return self.due_progress(self.step - 1, {})

    def sample(self, draws: torch.Generator) -> Batch:
        """A batch of the data set."""
        assert self._data is not None
        return self._data.sample(self._batch_size, draws, self._draw)
