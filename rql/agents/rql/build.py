"""From the configuration and the spaces of an environment to the agent."""

import math

import torch
from torch import nn

from rql.agents.networks import (
    build_correction,
    build_critics,
    build_value,
    ensemble_of,
    uniform_policy,
)
from rql.agents.prior import ClonedPrior, build_prior
from rql.agents.rql.actions import ActionModel, ContinuousActions, DiscreteActions, SampledActions
from rql.agents.rql.agent import RQL, NextValue
from rql.agents.rql.baseline import NoBaseline, ValueBaseline
from rql.agents.rql.composition import Amortized, Resampled
from rql.agents.rql.correction import Corrected
from rql.agents.rql.residual import Residual
from rql.agents.rql.schedule import RQLSchedule, kl_budget
from rql.config.choices import PolicyClass
from rql.config.method import (
    AmortizedConfig,
    KLBetaConfig,
    NetworkCompositionConfig,
    NetworkTargetConfig,
    PolicyTargetConfig,
    PriorTargetConfig,
    ResampleConfig,
    ResidualConfig,
)
from rql.config.registry import choice_of, implementation_of
from rql.config.schema import Config
from rql.envs.spaces import DiscreteSpec, Spaces
from rql.method import targets
from rql.nn.network import starting_at_zero
from rql.utils.errors import ConfigError, RQLError


def build(config: Config, spaces: Spaces, device: torch.device, learning_rate_scale: float) -> RQL:
    """The agent of a run. Weights are drawn from torch's global generator.

    Raises:
        ConfigError: if the policy class, the target, its samples or the KL budget do not suit the action space, or a
            network does not fit into the memory of the device.
        RQLError: if a network of one's own registers another layer last than that of its output.
    """
    _check_kl_budget(config, spaces)
    clone = build_prior(config, spaces, device)
    prior = ClonedPrior(uniform_policy(spaces)) if config.policy.name is PolicyClass.uniform else clone
    critics = starting_at_zero(build_critics(config.network.critic, spaces, device))
    _check_zero(critics, spaces, device)
    residual = Residual(prior, critics, ensemble_of(config.network.critic), config.q.normalize)
    actions = _actions(config, spaces, prior)
    composition = _composition(config, spaces, residual, actions, clone.network, device)
    baseline = _baseline(config, spaces, device)
    schedule = RQLSchedule(config, spaces, device, learning_rate_scale)
    adaptive, critic_updates = isinstance(config.beta, KLBetaConfig), max(1, int(config.online.utd))
    next_value = _next_value(config, spaces)
    stages = config.table.stages
    return RQL(residual, baseline, actions, composition, next_value, adaptive, schedule, critic_updates, stages)


def _composition(
    config: Config,
    spaces: Spaces,
    residual: Residual,
    actions: ActionModel,
    policy: nn.Module,
    device: torch.device,
) -> Resampled:
    """How π_final is sampled; exactly where actions are discrete."""
    how = config.composition
    if isinstance(actions, ContinuousActions) and isinstance(how, AmortizedConfig):
        return Amortized(residual, actions, policy)
    if isinstance(actions, ContinuousActions) and isinstance(how, ResidualConfig):
        correction = starting_at_zero(build_correction(config.network.actor, spaces, how.scale, device))
        return Corrected(residual, actions, correction, how.width)
    return Resampled(residual, actions)


def _check_zero(critics: nn.Module, spaces: Spaces, device: torch.device) -> None:
    """A network of one's own may have registered its output first."""
    shape = (1, 1) if isinstance(spaces.action, DiscreteSpec) else (1, 1, spaces.action.width)
    action = torch.zeros(shape, dtype=torch.int64 if len(shape) == 2 else torch.float32, device=device)
    with torch.no_grad():
        if critics(torch.ones((1, spaces.obs_dim), device=device), action).any():
            raise RQLError("network.critic: the layer that its module registers last must be that of its output")


def _next_value(config: Config, spaces: Spaces) -> NextValue:
    """The value of the next state. For discrete actions π_final itself acts, whose value needs no network."""
    next_value: NextValue = implementation_of("target", config.target)
    if not isinstance(config.target, NetworkTargetConfig):
        return next_value
    with_kl = isinstance(config.target, PolicyTargetConfig)
    if isinstance(spaces.action, DiscreteSpec):
        return targets.soft_value if with_kl else targets.expected_value
    if not isinstance(config.composition, NetworkCompositionConfig):
        name, allowed = choice_of("target", config.target).name, "max, soft, expected or prior"
        raise ConfigError("target", name, f"{allowed}, for composition=resample has no network π_θ")
    return next_value


def _baseline(config: Config, spaces: Spaces, device: torch.device) -> NoBaseline:
    kind: type[NoBaseline] = implementation_of("baseline", config.baseline)
    return kind(build_value(config.network.critic, spaces, device)) if issubclass(kind, ValueBaseline) else kind()


def _check_kl_budget(config: Config, spaces: Spaces) -> None:
    """The KL from N equally probable actions cannot exceed log N."""
    if not isinstance(config.beta, KLBetaConfig):
        return
    if isinstance(spaces.action, DiscreteSpec):
        count = spaces.action.count if config.policy.name is PolicyClass.uniform else None
        what = f"log {count} actions"
    else:
        count = config.composition.num_candidates if isinstance(config.composition, ResampleConfig) else None
        what = "log composition.num_candidates"
    if count is not None and kl_budget(config.beta, spaces)[1] >= math.log(count):
        dims = kl_budget(config.beta, spaces)[1] / config.beta.budget_end
        allowed = f"below {math.log(count) / dims:.3f}: the KL cannot reach {what} = {math.log(count):.2f}"
        raise ConfigError("beta.budget_end", config.beta.budget_end, allowed)


def _actions(config: Config, spaces: Spaces, prior: ClonedPrior) -> ActionModel:
    if isinstance(spaces.action, DiscreteSpec):
        return DiscreteActions(spaces.action.count)
    candidates = config.composition.num_candidates if isinstance(config.composition, ResampleConfig) else 0
    on_policy = isinstance(config.target, NetworkTargetConfig)
    if isinstance(config.composition, AmortizedConfig) and not on_policy and config.target.num_samples < 2:
        allowed = "at least 2, for one half is of π_BC and one of π_θ, unless target=policy or return"
        raise ConfigError("target.num_samples", config.target.num_samples, allowed)
    if candidates and not isinstance(config.target, PriorTargetConfig) and config.target.num_samples < 2:
        name, allowed = choice_of("target", config.target).name, "with composition=resample: of one action"
        what = f"at least 2 {allowed} target={name} is the value of π_BC"
        raise ConfigError("target.num_samples", config.target.num_samples, what)
    samples = config.target.num_samples, config.cql.num_samples, candidates
    chosen = spaces.action.width, *samples, on_policy, config.q.normalize, spaces.action.width + prior.further_draws
    if prior.dense:
        return ContinuousActions(*chosen)
    width = config.composition.width if isinstance(config.composition, ResidualConfig) else 0.0
    return SampledActions(width, *chosen)
