"""From the configuration and the spaces to an agent and its first state."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from rql.agents.actions import ActionModel, ContinuousActions, DiscreteActions
from rql.agents.agent import Agent, Aggregator, NextValue
from rql.agents.state import AgentState, Noise, Normalizer
from rql.config.choices import Aggregate, PolicyClass
from rql.config.method import AmortizedConfig, KLBetaConfig, PolicyTargetConfig, ResampleConfig
from rql.config.networks import CriticNetworkConfig
from rql.config.registry import implementation_of
from rql.config.schema import Config
from rql.data.transitions import Transitions
from rql.envs.spaces import DiscreteSpec, Spaces
from rql.method import ensemble, targets
from rql.nn.critics import ContinuousCritics, DiscreteCritics
from rql.nn.policies import CategoricalPolicy, SquashedGaussianPolicy, UniformPolicy
from rql.optim.adam import learned
from rql.utils.errors import ConfigError
from rql.utils.memory import require_memory

COPIES = 5
"""Of each parameter: itself, its target or that of π_BC, its gradient, and Adam's two moments."""


def build_agent(config: Config, spaces: Spaces, device: torch.device) -> Agent:
    """The networks and named choices of a run. Weights are drawn from torch's global generator.

    Raises:
        ConfigError: if the policy class or the KL budget does not suit the action space, or a network does not fit
            into the memory of the device.
    """
    _check_policy_class(config.policy.name, spaces)
    _check_kl_budget(config, spaces)
    network = config.network
    policy = _fitting("network.actor.hidden", network.actor.hidden, lambda: _policy(config, spaces), device)
    critics = _fitting("network.critic.hidden", network.critic.hidden, lambda: _critics(network.critic, spaces), device)
    random_subset = config.network.critic.aggregate is Aggregate.random_min
    return Agent(
        prior=_uniform(spaces) if config.policy.name is PolicyClass.uniform else policy,
        policy=policy,
        critics=critics,
        actions=_actions(config, spaces),
        next_value=_next_value(config, spaces),
        aggregate=_aggregator(config.network.critic),
        aggregate_to_act=ensemble.minimum if config.network.critic.aggregate is Aggregate.min else ensemble.mean,
        subset_of=config.network.critic.ensemble_size if random_subset else 0,
        amortized=isinstance(config.composition, AmortizedConfig) and not isinstance(spaces.action, DiscreteSpec),
        normalize_q=config.q.normalize,
        adaptive_beta=isinstance(config.beta, KLBetaConfig),
    )


def _fitting(field: str, hidden: list[int], build: Callable[[], nn.Module], device: torch.device) -> nn.Module:
    """What `build` builds, on the device."""
    with torch.device("meta"):  # shapes alone
        count = sum(parameter.numel() for parameter in build().parameters())
    require_memory(field, hidden, f"training its {count:,} parameters", 4 * COPIES * count, device)
    return build().to(device)


def first_state(
    agent: Agent, spaces: Spaces, data: Transitions | None, beta: float, device: torch.device
) -> AgentState:
    """The state before any update, with observations normalised as in `data`, or not yet where there are none."""
    critic = learned(dict(agent.critics.named_parameters()))
    return AgentState(
        normalizer=Normalizer.of(data.obs, device) if data else Normalizer.identity(spaces.obs_dim, device),
        bc=learned(dict(agent.prior.named_parameters())),
        critic=critic,
        target=critic.params,
        actor=learned(dict(agent.policy.named_parameters()) if agent.amortized else {}),
        q_scale=torch.ones((), device=device),
        beta=torch.tensor(beta, device=device),
        updates=torch.zeros((), device=device),
    )


def _next_value(config: Config, spaces: Spaces) -> NextValue:
    """For discrete actions π_final itself acts, whose value is the soft one."""
    next_value: NextValue = implementation_of("target", config.target)
    if not isinstance(config.target, PolicyTargetConfig):
        return next_value
    if isinstance(spaces.action, DiscreteSpec):
        return targets.soft_value
    if not isinstance(config.composition, AmortizedConfig):
        raise ConfigError("target", "policy", "max, soft or expected, for composition=resample has no network π_θ")
    return next_value


def _check_policy_class(name: PolicyClass, spaces: Spaces) -> None:
    suitable = PolicyClass.categorical if isinstance(spaces.action, DiscreteSpec) else PolicyClass.squashed_gaussian
    if name not in (PolicyClass.auto, PolicyClass.uniform, suitable):
        allowed = f"this environment's actions need {suitable.name}, uniform or auto"
        raise ConfigError("policy.name", name.name, allowed)


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
    if count is not None and config.beta.budget_end >= math.log(count):
        allowed = f"below {what} = {math.log(count):.2f}, the largest KL that can be reached"
        raise ConfigError("beta.budget_end", config.beta.budget_end, allowed)


def _uniform(spaces: Spaces) -> UniformPolicy:
    discrete = isinstance(spaces.action, DiscreteSpec)
    return UniformPolicy(
        spaces.action.count if isinstance(spaces.action, DiscreteSpec) else spaces.action.width, discrete
    )


def _policy(config: Config, spaces: Spaces) -> nn.Module:
    network, policy = config.network.actor, config.policy
    build: Callable[..., nn.Module] = implementation_of("network/actor", network)
    if isinstance(spaces.action, DiscreteSpec):
        return CategoricalPolicy(build(network, spaces.obs_dim, spaces.action.count))
    net = build(network, spaces.obs_dim, 2 * spaces.action.width)
    return SquashedGaussianPolicy(net, policy.log_std_min, policy.log_std_max)


def _critics(network: CriticNetworkConfig, spaces: Spaces) -> nn.Module:
    build: Callable[..., nn.Module] = implementation_of("network/critic", network)
    size, action = network.ensemble_size, spaces.action
    if isinstance(action, DiscreteSpec):
        return DiscreteCritics(build(network, size, spaces.obs_dim, action.count), size)
    return ContinuousCritics(build(network, size, spaces.obs_dim + action.width, 1), size)


def _actions(config: Config, spaces: Spaces) -> ActionModel:
    if isinstance(spaces.action, DiscreteSpec):
        return DiscreteActions(spaces.action.count)
    candidates = config.composition.num_candidates if isinstance(config.composition, ResampleConfig) else 0
    on_policy = isinstance(config.target, PolicyTargetConfig)
    return ContinuousActions(
        spaces.action.width, config.target.num_samples, config.cql.num_samples, candidates, on_policy
    )


def _aggregator(net: CriticNetworkConfig) -> Aggregator:
    if net.aggregate is Aggregate.random_min:
        return partial(_random_minimum, size=net.subset_size)
    combine = ensemble.minimum if net.aggregate is Aggregate.min else ensemble.mean
    return lambda q, noise: combine(q)


def _random_minimum(q: Tensor, noise: Noise, size: int) -> Tensor:
    return ensemble.random_minimum(q, noise["subset"], size)
