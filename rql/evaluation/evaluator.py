"""Evaluating an agent at a moment of its training."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from gymnasium.vector import AutoresetMode

from rql.agents.base import Agent
from rql.agents.loading import Policy
from rql.config.choices import ActionMode
from rql.config.data import EnvConfig
from rql.config.headline import HeadlineInfo
from rql.config.schema import Config
from rql.data.batch import RewardTransform
from rql.data.transitions import Reference
from rql.envs.guarded import AnyEnv, EnvFailedError, Failures, GuardedEnvs
from rql.envs.look import no_success
from rql.envs.make import make_env
from rql.envs.spaces import Spaces
from rql.evaluation.contact_sheet import STARTS, Strip, strip
from rql.evaluation.rollout import Episode, EpisodeResults, play
from rql.evaluation.video import Act, Camera, record
from rql.priors.base import EVALUATION, FILM, Prior, PriorError, Proposer, asked_for, prior_draws
from rql.utils.errors import EvaluationError
from rql.utils.random import generator, stream_seed

logger = logging.getLogger(__name__)


class Evaluation(NamedTuple):
    """What an evaluation found."""

    metrics: dict[str, float]
    episodes: list[Episode]


class Evaluator:
    """Has environments and random numbers of its own. All evaluations of a run play from the same start states."""

    def __init__(
        self,
        agent: Agent[Any],
        spaces: Spaces,
        config: Config,
        reward: RewardTransform,
        reference: Reference | None,
        device: torch.device,
        check: Callable[[], None] = lambda: None,
        prior: Prior | None = None,
    ) -> None:
        """`check` is called before every step, and may raise to give an evaluation up. `prior` is what the agent
        finetunes, where that is not a clone of its own.
        """
        self._check, self._prior = check, prior
        self._agent, self._spaces, self._config, self._reward = agent, spaces, config, reward
        self._reference, self._device = reference, device
        most = max(config.evaluation.episodes, config.evaluation.boundary_episodes)
        self._num_envs, self._failures = min(config.evaluation.num_envs, most), Failures(config.env)
        self._envs, self._warned = self._make(), False
        self._headline = HeadlineInfo.of(config.env.headline)

    def at_end(self, state: Any, policy: str) -> Evaluation:
        """Both modes of a policy, as at the end of a stage; the metrics of the second mode bear its name."""
        headline = self._config.evaluation.mode
        other = ActionMode.sample if headline is ActionMode.mode else ActionMode.mode
        episodes = self._config.evaluation.boundary_episodes
        second = self._evaluate(state, policy, other, episodes)
        first = self._evaluate(state, policy, headline, episodes)
        named = {f"{other.name}_{name}": value for name, value in second.metrics.items()}
        return Evaluation(first.metrics | named, [*first.episodes, *second.episodes])

    def during(self, state: Any, policy: str) -> dict[str, float]:
        """Metrics of a policy in the mode `evaluation.mode`, as during a stage."""
        return self._evaluate(state, policy, self._config.evaluation.mode, self._config.evaluation.episodes).metrics

    def play(self, state: Any, policy: str, mode: ActionMode, episodes: int) -> EpisodeResults:
        """Episodes of a policy, always from the same start states and with the same random numbers.

        Raises:
            EvaluationError: if environments failed more than `env.max_restarts` times, or always do; if a prior failed.
            RQLError: if they report success otherwise than by a truth value.
        """
        seed, discount = first_episode_seed(self._config.seed), self._config.q.discount
        how = (self._reward, discount, self._device, self._config.evaluation.max_episode_steps, self._check)
        while True:
            draws = generator(self._config.seed, "evaluation", self._device)
            acting = self._policy(state, policy, mode, draws, EVALUATION)
            told = acting.begin, acting.decided if self._config.chunk.length > 1 else None
            try:
                results = play(acting.choose, self._envs, self._spaces, episodes, seed, *how, *told)
            except PriorError as error:
                raise EvaluationError(str(error)) from error
            except EnvFailedError as error:
                self._restart(error)
                continue
            self._say_cut(results)
            return results

    def figures(self, results: EpisodeResults) -> dict[str, float]:
        """The metrics of episodes, with the interval of the headline where it has one.

        Raises:
            ConfigError: if the environment did not report the headline.
        """
        metrics = results.metrics()
        if self._headline.metric not in metrics:
            raise no_success(self._config.env)
        return metrics | self._headline.recorded(metrics)

    def film(self, state: Any, policy: str, camera: Camera, path: Path) -> None:
        """An episode of a policy in the mode `evaluation.mode`, from the start state of the first that is evaluated.

        Raises:
            OSError: if it cannot be written.
        """
        act, first = self._acting(state, policy), first_episode_seed(self._config.seed)
        record(act, first, camera, path, self._config.evaluation.max_episode_steps)

    def strips(self, state: Any, policy: str, camera: Camera) -> list[Strip]:
        """Frames of the first episodes of a policy, as they are evaluated in the mode `evaluation.mode`."""
        first, most = first_episode_seed(self._config.seed), self._config.evaluation.max_episode_steps
        return [strip(lambda: self._acting(state, policy), first + i, camera, most) for i in range(STARTS)]

    def close(self) -> None:
        """Close the environments."""
        self._envs.close()

    def _acting(self, state: Any, policy: str) -> Act:
        """A policy for one environment, in the mode `evaluation.mode` and always with the same random numbers."""
        draws = generator(self._config.seed, "evaluation", self._device)
        filmed = self._policy(state, policy, self._config.evaluation.mode, draws, FILM)

        def act(obs: Any) -> Any:
            self._check()
            return filmed(obs)

        return act

    def _policy(self, state: Any, which: str, mode: ActionMode, draws: torch.Generator, first: int) -> Policy:
        """A policy that acts in environments whose slots are those from `first` on, as if none had acted before."""
        asking = None
        if self._prior is not None:
            seeded = prior_draws(self._config.seed)
            asking = Proposer(self._prior, self._spaces, *asked_for(self._config), seeded, first)
        chunk = self._config.chunk
        return Policy(self._agent, state, self._spaces, chunk, which, mode is ActionMode.mode, draws, asking)

    def _say_cut(self, results: EpisodeResults) -> None:
        if results.cut and not self._warned:
            cut, most = f"{results.cut} of {len(results.returns)}", self._config.evaluation.max_episode_steps
            what = f"cut off {cut} episodes, which {self._config.env.id} had not ended"
            logger.warning("evaluation.max_episode_steps=%d %s; this is said once", most, what)
            self._warned = True

    def _make(self) -> GuardedEnvs:
        env = self._config.env
        return GuardedEnvs(env, self._num_envs, AutoresetMode.DISABLED, partial(_make, env), self._check)

    def _restart(self, error: EnvFailedError) -> None:
        too_often, id = self._failures.add(error), self._config.env.id
        if too_often:
            raise EvaluationError(f"{id} failed in evaluations {too_often}") from error
        logger.warning("%s failed in an evaluation (%s), which is played again", id, error)
        self._envs.close()
        self._envs = self._make()

    def _evaluate(self, state: Any, policy: str, mode: ActionMode, episodes: int) -> Evaluation:
        results = self.play(state, policy, mode, episodes)
        metrics = self.figures(results)
        value = self._agent.policies[policy].value
        if value is not None:
            obs, action = (torch.from_numpy(x).to(self._device) for x in (results.first_obs, results.first_action))
            q = value(state, obs, action).cpu().numpy()
            metrics["overestimation"] = float((q - results.discounted).mean())
        if self._reference:
            metrics["normalized_score"] = self._reference.score(metrics["return"])
        return Evaluation(metrics, results.episodes(mode.name, first_episode_seed(self._config.seed)))


def _make(config: EnvConfig, index: int) -> AnyEnv:
    return make_env(config)


def first_episode_seed(seed: int) -> int:
    """The seed of the environment of the first episode in the evaluations of a run; the next episode has the next."""
    return stream_seed(seed, "evaluation envs")
