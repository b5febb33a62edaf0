"""Evaluating the policies of a saved agent."""

from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import torch

from rql.agents.loading import Policy, SavedAgent
from rql.config.choices import ActionMode
from rql.config.data import FileDatasetConfig, MinariDatasetConfig
from rql.config.schema import Config
from rql.data.batch import RewardTransform
from rql.data.load import minari_root, open_source
from rql.data.reference_scores import reference_score
from rql.data.transitions import Reference
from rql.evaluation.evaluator import Evaluator, first_episode_seed
from rql.utils.errors import DataError
from rql.utils.random import generator

Figures = dict[str, Any]
ALL, BOTH = "all", "both"
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Plan:
    """The policies, modes and episodes of a comparison."""

    policies: tuple[str, ...]
    modes: tuple[ActionMode, ...]
    episodes: int
    num_envs: int
    seed: int

    @classmethod
    def of(
        cls, saved: SavedAgent, policy: str, mode: str, episodes: int | None, num_envs: int | None, seed: int | None
    ) -> "Plan":
        """The plan that the options name; None is what the run's own evaluations had at the end of a stage.

        `policy` may be `all`, and `mode` may be `both`.

        Raises:
            ConfigError: if the agent has no such policy.
        """
        if policy != ALL:
            saved.check_policy(policy)
        policies = tuple(saved.agent.policies) if policy == ALL else (policy,)
        modes = tuple(ActionMode) if mode == BOTH else (ActionMode[mode],)
        own = saved.config.evaluation
        seed = saved.config.seed if seed is None else seed
        return cls(policies, modes, episodes or own.boundary_episodes, num_envs or own.num_envs, seed)


def compare(saved: SavedAgent, plan: Plan) -> list[Figures]:
    """Play each policy in each mode; a row for each: `policy`, `mode`, the metrics of an evaluation, and `returns`,
    one an episode. All play from the same start states.
    """
    played = replace(saved.config.evaluation, boundary_episodes=plan.episodes, episodes=1, num_envs=plan.num_envs)
    config = replace(saved.config, evaluation=played, seed=plan.seed)
    reference = reference_of(config)
    figures = []
    evaluator = Evaluator(saved.agent, saved.spaces, config, RewardTransform(), reference, CPU, prior=saved.prior)
    with closing(evaluator):
        for policy in plan.policies:
            for mode in plan.modes:
                results = evaluator.play(saved.state, policy, mode, plan.episodes)
                metrics = evaluator.figures(results)
                if reference:
                    metrics["normalized_score"] = reference.score(metrics["return"])
                figures.append({"policy": policy, "mode": mode.name, **metrics, "returns": results.returns.tolist()})
    return figures


def first_episode(saved: SavedAgent, plan: Plan) -> tuple[Policy, int]:
    """The policy that is shown, the last one of the plan, and the seed of its environment."""
    deterministic = plan.modes[0] is ActionMode.mode
    draws = generator(plan.seed, "evaluation", CPU)
    return saved.policy(plan.policies[-1], deterministic, draws), first_episode_seed(plan.seed)


def reference_of(config: Config) -> Reference | None:
    """The returns of score 0 and 100: those that the data set of a run names if it is here, or else D4RL's."""
    match config.dataset:
        case MinariDatasetConfig(id=name) | FileDatasetConfig(path=name):
            pass
        case _:
            return reference_score(None, config.env.id)
    try:
        with minari_root(config.dataset.root):
            source = open_source(name, download=False)
        return source.reference or reference_score(source.name, config.env.id)
    except DataError:
        return reference_score(name, config.env.id)
