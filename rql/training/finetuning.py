"""The third stage: finetuning in the environment."""

from typing import Any

from rql.agents.agent import Agent, PolicyName
from rql.agents.state import AgentState, Hyperparameters, Normalizer
from rql.config.schema import Config
from rql.data.journal import Journal
from rql.data.recorder import EpisodeRecorder
from rql.data.replay import PackedDataset, ReplayBuffer
from rql.data.rows import RowLayout
from rql.data.transitions import RewardTransform
from rql.envs.spaces import Spaces
from rql.envs.training import TrainingEnvs
from rql.training.collector import Collector
from rql.training.hyperparameters import HyperparameterSchedule
from rql.training.n_step import NStep
from rql.training.progress import Progress, due
from rql.training.stages import TrainingStage
from rql.utils.random import generator, stream_seed


class Finetuning(TrainingStage):
    """Act with π_final for `online.env_steps` steps and keep updating Q_R on a mix of offline and online data.

    Before the first update of Q_R it is π_BC that acts; where there are no offline data, what it meets is what
    observations are normalised by. Whole episodes go to the journal, if there is one.
    """

    def __init__(
        self,
        agent: Agent,
        state: AgentState,
        schedule: HyperparameterSchedule,
        data: PackedDataset | None,
        envs: TrainingEnvs,
        spaces: Spaces,
        reward: RewardTransform,
        journal: Journal | None,
        config: Config,
    ) -> None:
        device, last = state.beta.device, config.online.env_steps
        draws = {use: generator(config.seed, use, device) for use in ("online", "online diagnosis")}
        super().__init__("online", state, last, config.watchdog.max_q, draws)
        self._agent, self._schedule, self._data, self._config = agent, schedule, data, config
        layout = RowLayout.of(spaces)
        capacity = min(config.replay.capacity, last + envs.num_envs * config.q.n_step)
        self.replay = ReplayBuffer(capacity, layout, device, data)
        self.envs = envs
        n_step = NStep(layout, config.q.n_step, config.q.discount, envs.num_envs)
        recorder = EpisodeRecorder(journal, envs.num_envs) if journal else None
        collect = generator(config.seed, "collect", device)
        self._collector = Collector(agent, envs, spaces, reward, n_step, collect, recorder)
        self._policy: PolicyName = "final" if float(state.updates) else "bc"
        self._warm, self._owed, self._returns = False, 0.0, list[float]()

    def advance(self) -> Progress | None:
        """One step of every environment, and the updates that follow it."""
        before, self.step = self.step, self.step + self.envs.num_envs
        hparams, conservative = self._schedule.online(self.step)
        fraction = self._schedule.offline_fraction(self.step)
        if not self._agent.adaptive_beta:
            self.state = self.state._replace(beta=hparams.beta)
        self._collect()
        self._learn(hparams, conservative, fraction)
        every, log_every = self._config.online.eval_every, self._config.tracking.log_every
        evaluate = due(before, self.step, every, self.total)
        if not evaluate and not due(before, self.step, log_every, self.total):
            return None
        return Progress(self.step, self._metrics(fraction), evaluate)

    def saved_state(self) -> dict[str, Any]:
        """All but the agent and the rows of the replay buffer, which `load` wants to be there."""
        return super().saved_state() | {
            "warm": self._warm,
            "owed": self._owed,
            "returns": self._returns,
            "policy": self._policy,
            "collector": self._collector.saved_state(),
        }

    def load(self, saved: dict[str, Any]) -> None:
        """Go on from `saved_state`."""
        super().load(saved)
        self._warm, self._owed = saved["warm"], saved["owed"]
        self._returns, self._policy = saved["returns"], saved["policy"]
        self._collector.load(saved["collector"], stream_seed(self._config.seed, f"envs from step {self.step}"))

    def _collect(self) -> None:
        collected = self._collector.step(self.state, self._policy)
        self.replay.append(collected.rows)
        if self._data and len(collected.rows):
            obs = self.replay.layout.unpack(collected.rows).obs
            self.window.add({"out_of_range": self._data.outside_range(obs)})
        self._returns += collected.returns

    def _learn(self, hparams: Hyperparameters, conservative: bool, fraction: float) -> None:
        config = self._config
        # once over, the warm-up does not begin again where a run is extended
        self._warm = self._warm or self.step > config.online.warmup_fraction * self.total
        enough = self.replay.size >= (1 if self._data else config.batch_size)
        if enough and self._warm:
            self._owed += config.online.utd * self.envs.num_envs
        draws = self._generators["online"]
        for _ in range(int(self._owed)):
            if self._policy == "bc" and not self._data:
                self._normalize()
            noise = self._agent.update_noise(config.batch_size, conservative, draws)
            batch = self.replay.sample(config.batch_size, fraction, draws)
            self.state, metrics = self._agent.update(self.state, hparams, batch, noise, conservative)
            self.window.add(metrics)
            self._policy = "final"
        self._owed -= int(self._owed)

    def _normalize(self) -> None:
        obs = self.replay.layout.unpack(self.replay.rows[: self.replay.size]).obs
        self.state = self.state._replace(normalizer=Normalizer.of(obs.cpu().numpy(), obs.device))

    def _metrics(self, fraction: float) -> dict[str, float]:
        if self.replay.size:
            diagnosis = self._generators["online diagnosis"]
            noise = self._agent.diagnose_noise(self._config.batch_size, diagnosis)
            batch = self.replay.sample(self._config.batch_size, fraction, diagnosis)
            self.window.add(self._agent.diagnose(self.state, batch, noise))
        metrics = self.window.means(self.step) | {
            "offline_fraction": fraction,
            "replay_size": float(self.replay.size),
            "env_restarts": float(self.envs.restarts),
        }
        if self._returns:
            metrics["train_return"] = sum(self._returns) / len(self._returns)
            self._returns = []
        return metrics
