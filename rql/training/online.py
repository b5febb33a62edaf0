"""Finetuning in the environment."""

from typing import Any

import torch

from rql.agents.base import Agent, TrainingStage
from rql.config.schema import Config
from rql.data.batch import Batch, RewardTransform
from rql.data.columns import collected_fields
from rql.data.dataset import Dataset
from rql.data.journal import Journal
from rql.data.recorder import EpisodeRecorder
from rql.data.replay import ReplayBuffer
from rql.data.sampling import Mixture
from rql.envs.spaces import Spaces
from rql.envs.training import TrainingEnvs
from rql.method.schedules import completed, linear
from rql.nn.normalizer import Normalizer
from rql.priors.base import TRAINING, Prior, Proposer, asked_for, prior_draws
from rql.training.collector import Collector
from rql.training.progress import Progress
from rql.training.trainer import Trainer
from rql.utils.random import generator, stream_seed


class OnlineTrainer(Trainer):
    """Acts for `online.env_steps` steps, and keeps updating the agent on a mix of offline and online data.

    As long as nothing was learned, the stage's warm-up policy acts. Where neither offline data nor a prior
    bring a normaliser, observations are normalised by those that were met, anew whenever there are twice as many. Whole
    episodes go to the journal, if there is one.
    """

    def __init__(
        self,
        agent: Agent[Any],
        stage: TrainingStage[Any],
        state: Any,
        data: Dataset | None,
        envs: TrainingEnvs,
        spaces: Spaces,
        reward: RewardTransform,
        journal: Journal | None,
        config: Config,
        prior: Prior | None = None,
    ) -> None:
        """`prior` is what the agent finetunes, where that is not a clone of its own."""
        steps, updates = config.online.env_steps, config.online.env_steps * config.online.utd
        super().__init__(agent, stage, state, steps, config.online.eval_every, updates, reward, config)
        device = state.updates.device
        self._data, self._config = data, config
        self._normalizes = data is None and not config.adopts_prior
        capacity = min(config.replay.capacity, self.total + envs.num_envs * config.n_step)
        asked = (*asked_for(config), prior_draws(config.seed), TRAINING)
        proposer = Proposer(prior, spaces, *asked) if prior else None
        fields = collected_fields(spaces, asked_for(config) if prior else None)
        self.replay = ReplayBuffer(fields, capacity, envs.num_envs, config.n_step, device)
        self.envs = envs
        recorder = EpisodeRecorder(journal, envs.num_envs) if journal else None
        collect = generator(config.seed, "collect", device)
        correlation = config.online.noise_correlation
        self._collector = Collector(agent, envs, spaces, collect, recorder, correlation, proposer, config.chunk)
        self._fresh = not float(state.updates)
        self._warm_until, self._owed, self._returns = config.online.first_update, 0.0, list[float]()
        self._normalized = 0

    def advance(self) -> Progress | None:
        """Make one step of every environment, and the updates after it, or with `online.overlap` meanwhile."""
        before, self.step = self.step, self.step + self.envs.num_envs
        hparams = self.hparams()
        self.state = self.agent.scheduled(self.state, hparams)
        self._collector.send(self.state, (self.stage.warmup_policy if self._fresh else None) or self.info.policy)
        if self._config.online.overlap:
            self._learn(hparams)
        self._collect()
        if not self._config.online.overlap:
            self._learn(hparams)
        progress = self.due_progress(before, self._facts())
        if progress is not None and self._returns:
            progress.metrics["train_return"] = sum(self._returns) / len(self._returns)
            self._returns = []
        return progress

    def sample(self, draws: torch.Generator) -> Batch:
        """A batch of offline and online transitions."""
        mixture = Mixture(self._data, self.replay, self._offline_fraction())
        return mixture.sample(self._batch_size, draws, self._draw)

    def hparams(self) -> Any:
        """The hyper-parameters at this step; they are scheduled over the environment steps after the warm-up."""
        return self.agent.hparams(self.info.name, self._after_warmup)

    def can_sample(self) -> bool:
        """Whether the replay buffer holds anything."""
        return self.replay.size > 0

    def saved_state(self) -> dict[str, Any]:
        """All but the agent's state and the rows of the replay buffer, which `load` wants to be there."""
        return super().saved_state() | {
            "warm_until": self._warm_until,
            "owed": self._owed,
            "returns": self._returns,
            "fresh": self._fresh,
            "normalized": self._normalized,
            "collector": self._collector.saved_state(),
        }

    def load(self, saved: dict[str, Any]) -> None:
        """Go on from `saved_state`."""
        super().load(saved)
        self._owed = saved["owed"]
        if self.step > saved["warm_until"]:  # once over, the warm-up does not begin again where a run is extended
            self._warm_until = saved["warm_until"]
        self._returns, self._fresh = saved["returns"], saved["fresh"]
        self._normalized = saved["normalized"]
        goes_on = self._collector.load(
            saved["collector"], stream_seed(self._config.seed, f"envs from step {self.step}")
        )
        if not goes_on:
            self.replay.cut()

    @property
    def _after_warmup(self) -> int:
        return max(0, self.step - self._warm_until)

    def _collect(self) -> None:
        collected, before = self._collector.receive(), self.replay.whole
        if collected.step is None:
            self.replay.cut()
        else:
            self.replay.append(collected.step)
        if self._data and self.replay.whole > before:
            obs = self.replay.observations(before, self.replay.whole)
            self.means.add({"out_of_range": self._data.outside_range(obs)})
        self._returns += collected.returns

    def _learn(self, hparams: Any) -> None:
        online = self._config.online
        enough = self.replay.size >= self._batch_size
        if enough and self.step > self._warm_until:
            self._owed += online.utd * self.envs.num_envs
        for _ in range(int(self._owed)):
            if self._normalizes and self.replay.whole >= 2 * self._normalized:
                self._normalize()
            self.update(hparams)
            self._fresh = False
        self._owed -= int(self._owed)

    def _normalize(self) -> None:
        self._normalized = self.replay.whole
        obs = self.replay.observations(self.replay.whole - self.replay.size, self.replay.whole)
        self.state = self.state._replace(normalizer=Normalizer.of(obs.cpu().numpy(), obs.device))

    def _offline_fraction(self) -> float:
        """The share of offline transitions in a batch."""
        replay = self._config.replay
        end = replay.offline_fraction if replay.offline_fraction_end is None else replay.offline_fraction_end
        last = self._config.online.steps_after_warmup
        return linear(replay.offline_fraction, end, completed(self._after_warmup, 0, last))

    def _facts(self) -> dict[str, float]:
        return {
            "offline_fraction": self._offline_fraction(),
            "replay_size": float(self.replay.size),
            "env_restarts": float(self.envs.restarts),
        }
