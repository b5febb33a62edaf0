"""Acting with a policy in the training environments."""

import logging
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from rql.agents.base import Agent
from rql.agents.plans import Plans
from rql.config.networks import ChunkConfig
from rql.data.columns import ACTION, OBS, PROPOSALS, REWARD, TERMINATED
from rql.data.recorder import EpisodeRecorder
from rql.data.replay import EnvStep
from rql.data.transitions import seen
from rql.envs.spaces import Spaces
from rql.envs.training import RestartError, TrainingEnvs
from rql.envs.vector import last_observations
from rql.priors.base import Proposer
from rql.training.exploration import CorrelatedNoise

DROPPED = "the state of these environments cannot be saved: the running episodes are dropped and new ones begin"
logger = logging.getLogger(__name__)


class Collected(NamedTuple):
    """What one step of every environment brought."""

    step: EnvStep | None
    """None where the environments had to be restarted: the running episodes are lost."""
    returns: list[float]
    """Of the episodes that ended, as the environment pays them."""


class Collector:
    """Steps vectorised environments that reset within the step in which an episode ends."""

    def __init__(
        self,
        agent: Agent[Any],
        envs: TrainingEnvs,
        spaces: Spaces,
        generator: torch.Generator,
        recorder: EpisodeRecorder | None,
        correlation: float = 0.0,
        proposer: Proposer | None = None,
        chunk: ChunkConfig | None = None,
    ) -> None:
        """`correlation` is that of the noise of a continuous action with the one before; `proposer` asks the prior of
        an agent that finetunes another policy, `chunk` what is decided on at once.
        """
        self._plans = Plans(chunk) if chunk is not None and chunk.length > 1 else None
        self._proposer, self._proposals = proposer, np.zeros(0, np.float32)
        self._exploration = CorrelatedNoise(correlation)
        self._agent, self._envs, self._spaces = agent, envs, spaces
        self._generator, self._recorder = generator, recorder
        self._obs: NDArray[Any] | None = None
        """As they are kept."""
        self._returns = np.zeros(envs.num_envs)
        self._sent: tuple[NDArray[Any], Any] | None = None
        """The actions of the steps that were begun, and as the environments have them."""

    def send(self, state: Any, policy: str) -> None:
        """Choose an action in every environment, and have them begin a step."""
        if self._obs is None:
            self._begin(self._envs.reset())
        action = self._actions(state, policy)
        self._sent = action, self._spaces.action.to_env(action)
        self._envs.send(self._sent[1])

    def receive(self) -> Collected:
        """What the steps that were begun brought; nothing, where the environments had to be restarted."""
        assert self._obs is not None and self._sent is not None
        action, native_action = self._sent
        try:
            native, reward, terminated, truncated, infos = self._envs.receive()
        except RestartError as restarted:
            self._begin(restarted.obs)
            return Collected(None, [])
        if self._recorder:
            self._recorder.follow(native_action, native, reward, terminated, truncated, infos)
        done = terminated | truncated
        self._exploration.end(done)
        if self._plans:
            self._plans.begin(np.flatnonzero(done))
        following = self._spaces.observation.stored(native)
        next_obs = last_observations(self._spaces.observation, following, done, infos)
        columns = {OBS: self._obs, ACTION: action, REWARD: reward, TERMINATED: terminated}
        self._obs = np.array(following)
        brought = EnvStep(columns, {OBS: next_obs}, done)
        return Collected(self._with_proposals(brought) if self._proposer else brought, self._finished(reward, done))

    def saved_state(self) -> dict[str, Any]:
        """All that decides how the collection goes on."""
        return {
            "obs": self._obs,
            "returns": self._returns,
            "generator": self._generator.get_state(),
            "exploration": self._exploration.last,
            "plans": self._plans.saved_state() if self._plans else None,
            "envs": self._envs.saved_state(),
            "recorder": self._recorder.saved_state() if self._recorder else None,
            "proposals": self._proposals,
            "proposer": self._proposer.saved_state() if self._proposer else None,
        }

    def load(self, saved: dict[str, Any], drop_seed: int) -> bool:
        """Go on from `saved_state`; whether the running episodes go on too.

        `drop_seed` is for environments whose episodes cannot be gone on with.
        """
        self._generator.set_state(saved["generator"])
        last = saved["exploration"]
        self._exploration.last = None if last is None else last.to(self._generator.device)
        if self._recorder and saved["recorder"]:
            self._recorder.load(saved["recorder"])
        if self._proposer:
            self._proposer.load(saved["proposer"])
        first = self._envs.load(saved["envs"], drop_seed)
        if first is None:
            self._proposals = saved["proposals"]
            if self._plans:
                self._plans.load(saved["plans"])
            self._obs, self._returns = saved["obs"], saved["returns"]
            return True
        logger.warning(DROPPED)
        self._begin(first)
        return False

    def _begin(self, native: Any) -> None:
        """Every environment is at the start of an episode; what it was in the middle of is dropped."""
        self._obs = np.array(self._spaces.observation.stored(native))
        if self._proposer:
            self._proposer.begin(np.arange(self._envs.num_envs))
            self._proposals = self._proposer.propose(seen(self._obs))
        self._returns[:] = 0.0
        self._exploration.last = None
        if self._plans:
            self._plans.begin(np.arange(self._envs.num_envs))
        if self._recorder:
            self._recorder.drop()
            for index in range(self._envs.num_envs):
                self._recorder.begin(index, native)

    def _actions(self, state: Any, policy: str) -> NDArray[Any]:
        """The next action of every environment, decided now or with those before."""
        everywhere = np.arange(self._envs.num_envs)
        if self._plans is None:
            return self._decisions(state, policy, everywhere)
        due = self._plans.due(everywhere)
        if len(due):
            self._plans.decide(due, self._decisions(state, policy, due))
        return self._plans.next(everywhere)

    def _decisions(self, state: Any, policy: str, which: NDArray[np.int64]) -> NDArray[Any]:
        """What a policy decides in these environments."""
        assert self._obs is not None
        acting = self._agent.policies[policy]
        noise = self._exploration(acting.noise(len(which), self._generator))
        obs = torch.from_numpy(seen(self._obs)[which]).to(self._generator.device)
        if self._proposer:
            noise |= {PROPOSALS: torch.from_numpy(self._proposals[which]).to(obs.device)}
        with torch.inference_mode():
            decisions: NDArray[Any] = acting.act(state, obs, noise, False).cpu().numpy()
        return decisions

    def _with_proposals(self, step: EnvStep) -> EnvStep:
        """The step with what the prior proposed at it and at what it led to, also where that was an episode's last."""
        assert self._proposer is not None and self._obs is not None
        before, after = self._proposals, self._proposer.propose(seen(step.following[OBS]))
        ended = np.flatnonzero(step.ended)
        self._proposals = after.copy()
        if len(ended):
            self._proposer.begin(ended)
            self._proposals[ended] = self._proposer.propose(seen(self._obs[ended]), ended)
        return EnvStep({**step.columns, PROPOSALS: before}, {**step.following, PROPOSALS: after}, step.ended)

    def _finished(self, reward: NDArray[Any], done: NDArray[np.bool_]) -> list[float]:
        self._returns += reward
        finished = [float(value) for value in self._returns[done]]
        self._returns[done] = 0.0
        return finished
