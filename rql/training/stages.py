"""The first two stages: behaviour cloning, then Q_R offline; and what all stages have in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch

from rql.agents.agent import Agent
from rql.agents.state import AgentState, Metrics
from rql.config.schema import Config
from rql.data.replay import PackedDataset
from rql.training.hyperparameters import HyperparameterSchedule
from rql.training.progress import MetricMeans, Progress, Stage, due
from rql.utils.random import generator


class TrainingStage(ABC):
    """Something that trains step by step, and can be saved between any two of them."""

    def __init__(
        self, name: Stage, state: AgentState, total: int, max_q: float, generators: dict[str, torch.Generator]
    ) -> None:
        self.name, self.state, self.total, self.step = name, state, total, 0
        self.window = MetricMeans(name, max_q)
        self._generators = generators

    @abstractmethod
    def advance(self) -> Progress | None:
        """One update, or one environment step with its updates; a tick where there is something to tell.

        Raises:
            DivergenceError: if the training has.
        """

    def saved_state(self) -> dict[str, Any]:
        """All but the agent that decides how the stage goes on."""
        generators = {name: draws.get_state() for name, draws in self._generators.items()}
        return {"step": self.step, "window": self.window.saved_state(), "generators": generators}

    def load(self, saved: dict[str, Any]) -> None:
        """Go on from `saved_state`."""
        self.step = saved["step"]
        self.window.load(saved["window"])
        for name, draws in self._generators.items():
            draws.set_state(saved["generators"][name])


class Updates(TrainingStage):
    """A stage that repeats one update."""

    def __init__(
        self,
        name: Stage,
        state: AgentState,
        update: Callable[[AgentState], tuple[AgentState, Metrics]],
        diagnose: Callable[[AgentState], Metrics],
        config: Config,
        generators: dict[str, torch.Generator],
    ) -> None:
        stage = config.bc if name == "bc" else config.offline
        super().__init__(name, state, stage.updates, config.watchdog.max_q, generators)
        self._update, self._diagnose = update, diagnose
        self._eval_every, self._log_every = stage.eval_every, config.tracking.log_every

    def advance(self) -> Progress | None:
        """One update; none where the stage has none."""
        if not self.total:
            return Progress(0, {}, evaluate=True)
        self.step += 1
        self.state, metrics = self._update(self.state)
        self.window.add(metrics)
        evaluate = due(self.step - 1, self.step, self._eval_every, self.total)
        if not evaluate and not due(self.step - 1, self.step, self._log_every, self.total):
            return None
        self.window.add(self._diagnose(self.state))
        return Progress(self.step, self.window.means(self.step), evaluate)


def clone_demonstrations(
    agent: Agent, state: AgentState, schedule: HyperparameterSchedule, data: PackedDataset | None, config: Config
) -> Updates:
    """Train π_BC on D_bc for `bc.updates` updates; with none, no data are needed."""
    draws = generator(config.seed, "bc", state.beta.device)
    hparams, _ = schedule.offline()

    def update(state: AgentState) -> tuple[AgentState, Metrics]:
        assert data is not None
        return agent.clone(state, hparams, data.sample(config.batch_size, draws))

    return Updates("bc", state, update, lambda state: {}, config, {"draws": draws})


def learn_offline(
    agent: Agent, state: AgentState, schedule: HyperparameterSchedule, data: PackedDataset, config: Config
) -> Updates:
    """Train Q_R (and π_θ) on D_offline for `offline.updates` updates."""
    draws = generator(config.seed, "offline", data.rows.device)
    diagnosis = generator(config.seed, "offline diagnosis", data.rows.device)
    hparams, conservative = schedule.offline()

    def update(state: AgentState) -> tuple[AgentState, Metrics]:
        noise = agent.update_noise(config.batch_size, conservative, draws)
        return agent.update(state, hparams, data.sample(config.batch_size, draws), noise, conservative)

    def diagnose(state: AgentState) -> Metrics:
        noise = agent.diagnose_noise(config.batch_size, diagnosis)
        return agent.diagnose(state, data.sample(config.batch_size, diagnosis), noise)

    return Updates("offline", state, update, diagnose, config, {"draws": draws, "diagnosis": diagnosis})
