"""Values that have the right type and still cannot work."""

import math
from collections.abc import Iterator
from typing import Any

from rql.config.choices import Aggregate, PolicyClass, Target
from rql.config.data_schema import DatasetConfig, DemoDatasetConfig, NoDatasetConfig, SubsetConfig
from rql.config.schema import (
    AmortizedConfig,
    BetaConfig,
    Config,
    ConstantBetaConfig,
    ExponentialBetaConfig,
    KLBetaConfig,
    RampBetaConfig,
    ResampleConfig,
)
from rql.utils.errors import ConfigError

TAG_LENGTH = 64
"""That of a tag in W&B, at most."""

Check = tuple[str, Any, bool, str]
"""(field, value, whether it can work, what is allowed)."""


def validate(config: Config) -> None:
    """Check what can be checked without data, environment or device.

    Raises:
        ConfigError: for the first field that cannot work.
    """
    beta = _beta(config.beta, config.online.env_steps)
    for checks in (_numbers(config), _networks(config), beta, _data(config.dataset), _no_data(config), _rest(config)):
        for field, value, possible, allowed in checks:
            if not possible:
                raise ConfigError(field, value, allowed)


def _at_least(field: str, value: float, least: int) -> Check:
    return field, value, math.isfinite(value) and value >= least, f"at least {least}"


def _within(field: str, value: float, low: int, high: int) -> Check:
    return field, value, low <= value <= high, f"in [{low}, {high}]"


def _positive(field: str, value: float) -> Check:
    return field, value, math.isfinite(value) and value > 0.0, "a number above 0"


def _numbers(config: Config) -> Iterator[Check]:
    yield _at_least("seed", config.seed, 0)
    yield _at_least("threads", config.threads, 1)
    yield _at_least("batch_size", config.batch_size, 1)
    yield _at_least("env.num_envs", config.env.num_envs, 1)
    yield _at_least("bc.updates", config.bc.updates, 0)
    yield _at_least("offline.updates", config.offline.updates, 0)
    yield _at_least("online.env_steps", config.online.env_steps, 0)
    yield _within("online.warmup_fraction", config.online.warmup_fraction, 0, 1)
    yield _at_least("online.utd", config.online.utd, 0)
    yield _at_least("bc.eval_every", config.bc.eval_every, 0)
    yield _at_least("offline.eval_every", config.offline.eval_every, 0)
    yield _at_least("online.eval_every", config.online.eval_every, 0)
    yield _at_least("replay.capacity", config.replay.capacity, config.env.num_envs * max(1, config.q.n_step))
    yield _positive("bc.learning_rate", config.bc.learning_rate)
    yield _positive("q.learning_rate", config.q.learning_rate)
    yield _within("q.discount", config.q.discount, 0, 1)
    yield _within("q.tau", config.q.tau, 0, 1)
    yield _at_least("q.n_step", config.q.n_step, 1)
    yield _positive("reward.scale", config.reward.scale)
    yield "reward.shift", config.reward.shift, math.isfinite(config.reward.shift), "a finite number"
    yield _at_least("cql.alpha", config.cql.alpha, 0)
    yield _at_least("cql.online_alpha", config.cql.online_alpha, 0)
    yield _at_least("cql.fade_steps", config.cql.fade_steps, 0)
    yield _at_least("cql.num_samples", config.cql.num_samples, 1)
    one = config.target.name is Target.policy and not config.q.normalize  # one action has no spread to normalise by
    yield _at_least("target.num_samples", config.target.num_samples, 1 if one else 2)
    yield _at_least("evaluation.episodes", config.evaluation.episodes, 1)
    yield _at_least("evaluation.boundary_episodes", config.evaluation.boundary_episodes, 1)
    yield _at_least("evaluation.num_envs", config.evaluation.num_envs, 1)
    yield _at_least("tracking.log_every", config.tracking.log_every, 1)
    for tag in config.tracking.tags:
        yield "tracking.tags", tag, 1 <= len(tag) <= TAG_LENGTH, f"1 to {TAG_LENGTH} characters a tag"
    yield _at_least("checkpoint.minutes", config.checkpoint.minutes, 0)
    if config.checkpoint.steps is not None:
        yield _at_least("checkpoint.steps", config.checkpoint.steps, 1)
    yield _at_least("checkpoint.keep", config.checkpoint.keep, 1)
    yield _positive("watchdog.max_q", config.watchdog.max_q)
    yield _at_least("watchdog.max_rollbacks", config.watchdog.max_rollbacks, 1)
    factor = config.watchdog.learning_rate_factor
    yield "watchdog.learning_rate_factor", factor, 0.0 < factor < 1.0, "in (0, 1)"
    yield _at_least("jobs.prune_after", config.jobs.prune_after, 1)
    yield _positive("env.step_timeout", config.env.step_timeout)
    yield _at_least("env.max_restarts", config.env.max_restarts, 0)
    yield _within("replay.offline_fraction", config.replay.offline_fraction, 0, 1)
    if config.replay.offline_fraction_end is not None:
        yield _within("replay.offline_fraction_end", config.replay.offline_fraction_end, 0, 1)


def _networks(config: Config) -> Iterator[Check]:
    for field, hidden in (
        ("network.actor.hidden", config.network.actor.hidden),
        ("network.critic.hidden", config.network.critic.hidden),
    ):
        yield field, hidden, all(width > 0 for width in hidden), "widths above 0"
    critic = config.network.critic
    yield _at_least("network.critic.ensemble_size", critic.ensemble_size, 1)
    if critic.aggregate is Aggregate.random_min:
        yield _within("network.critic.subset_size", critic.subset_size, 1, critic.ensemble_size)
    low, high = config.policy.log_std_min, config.policy.log_std_max
    yield "policy.log_std_min", low, -math.inf < low < high, f"a number below policy.log_std_max={high}"
    yield "policy.log_std_max", high, high < math.inf, "a finite number"


def _beta(beta: BetaConfig, env_steps: int) -> Iterator[Check]:
    match beta:
        case ConstantBetaConfig():
            yield _at_least("beta.value", beta.value, 0)
        case RampBetaConfig():
            if isinstance(beta, ExponentialBetaConfig):
                yield _positive("beta.start", beta.start)
            yield _at_least("beta.start", beta.start, 0)
            yield "beta.end", beta.end, beta.start <= beta.end < math.inf, f"at least beta.start={beta.start}"
            yield _at_least("beta.start_step", beta.start_step, 0)
            if beta.end_step is not None:
                later = beta.end_step > beta.start_step
                yield "beta.end_step", beta.end_step, later, f"after beta.start_step={beta.start_step}"
            elif env_steps:
                allowed = f"before the schedule ends at online.env_steps={env_steps}"
                yield "beta.start_step", beta.start_step, beta.start_step < env_steps, allowed
        case KLBetaConfig():
            yield _positive("beta.initial", beta.initial)
            yield _positive("beta.budget_start", beta.budget_start)
            allowed = f"at least beta.budget_start={beta.budget_start}"
            yield "beta.budget_end", beta.budget_end, beta.budget_start <= beta.budget_end < math.inf, allowed
            yield _positive("beta.rate", beta.rate)
            yield "beta.max", beta.max, beta.initial <= beta.max < math.inf, f"at least beta.initial={beta.initial}"


def _data(dataset: DatasetConfig) -> Iterator[Check]:
    yield from _subset("dataset.keep", dataset.keep)
    yield from _subset("dataset.bc", dataset.bc)
    for index, part in enumerate(dataset.mix):
        yield from _subset(f"dataset.mix[{index}]", part)
        yield _positive(f"dataset.mix[{index}].weight", part.weight)
    if isinstance(dataset, DemoDatasetConfig):
        yield _at_least("dataset.episodes", dataset.episodes, 1)
        yield _at_least("dataset.seed", dataset.seed, 0)


def _subset(field: str, subset: SubsetConfig) -> Iterator[Check]:
    yield f"{field}.top_fraction", subset.top_fraction, 0.0 < subset.top_fraction <= 1.0, "in (0, 1]"
    for name, count in (("episodes", subset.episodes), ("transitions", subset.transitions)):
        if count is not None:
            yield _at_least(f"{field}.{name}", count, 1)
    yield _at_least(f"{field}.seed", subset.seed, 0)


def _no_data(config: Config) -> Iterator[Check]:
    """What cannot be where there is no data set, or nothing to clone."""
    if config.policy.name is PolicyClass.uniform:
        yield "bc.updates", config.bc.updates, config.bc.updates == 0, "0, for policy=uniform clones nothing"
    if isinstance(config.dataset, NoDatasetConfig):
        without = "without a data set (dataset=none)"
        uniform = config.policy.name is PolicyClass.uniform
        yield "policy.name", config.policy.name.name, uniform, f"policy=uniform {without}"
        yield "offline.updates", config.offline.updates, config.offline.updates == 0, f"0 {without}"
        fraction, end = config.replay.offline_fraction, config.replay.offline_fraction_end
        yield "replay.offline_fraction", fraction, fraction == 0.0, f"0 {without}; replay=online_only sets it"
        yield "replay.offline_fraction_end", end, end in (None, 0.0), f"null {without}"
        first = f"at least batch_size={config.batch_size}, what the first update waits for {without}"
        yield "online.env_steps", config.online.env_steps, config.online.env_steps >= config.batch_size, first
        yield "replay.capacity", config.replay.capacity, config.replay.capacity >= config.batch_size, first
        yield "dataset.mix", len(config.dataset.mix), not config.dataset.mix, f"empty {without}"
        yield "dataset.bc.source", config.dataset.bc.source, config.dataset.bc.source is None, f"null {without}"
        yield "reward.return_range", True, not config.reward.return_range, f"false {without}"
        yield "env.id", config.env.id, config.env.id != "from_dataset", f"an environment {without}"


def _rest(config: Config) -> Iterator[Check]:
    if isinstance(config.composition, ResampleConfig):
        candidates = config.composition.num_candidates
        yield _at_least("composition.num_candidates", candidates, 2)
    if isinstance(config.composition, AmortizedConfig):
        yield _positive("composition.learning_rate", config.composition.learning_rate)
    limit = config.env.kwargs.get("max_episode_steps", 1)
    yield "env.kwargs.max_episode_steps", limit, isinstance(limit, int) and limit > 0, "a whole number above 0"
    steps = config.online.env_steps
    goal, often = config.online.stop_return, config.online.eval_every
    yield "online.eval_every", often, goal is None or often > 0, "above 0 where online.stop_return is given"
    replay = config.online.save_replay
    yield "online.save_replay", replay, replay is None or steps > 0, "null where online.env_steps=0"
    if steps:
        allowed = f"at most online.env_steps={steps}"
        yield "env.num_envs", config.env.num_envs, config.env.num_envs <= steps, allowed
