"""Networks for an environment, as the configuration sizes and builds them."""

from collections.abc import Callable

import torch
from torch import nn

from rql.config.choices import Aggregate, PolicyClass
from rql.config.networks import ActorNetworkConfig, CriticNetworkConfig, NetworkConfig, PolicyConfig
from rql.config.registry import choice_of, implementation_of
from rql.config.schema import Config
from rql.envs.spaces import ContinuousSpec, DiscreteSpec, Spaces
from rql.method.ensemble import Ensemble
from rql.nn.critics import ContinuousCritics, DiscreteCritics, StateValue
from rql.nn.policies import (
    CategoricalPolicy,
    Correction,
    FlowPolicy,
    GaussianPolicy,
    MixturePolicy,
    SquashedGaussianPolicy,
    UniformPolicy,
)
from rql.utils.errors import ConfigError
from rql.utils.memory import require_memory

COPIES = 5
"""Of each parameter: itself, its target or that of π_BC, its gradient, and Adam's two moments."""


def build_policy(policy: PolicyConfig, network: NetworkConfig, spaces: Spaces, device: torch.device) -> nn.Module:
    """A policy network. Weights are drawn from torch's global generator.

    Raises:
        ConfigError: if the policy class does not suit the action space, or the network does not fit into memory.
    """
    _check_policy_class(policy.name, spaces)

    def build() -> nn.Module:
        if isinstance(spaces.action, DiscreteSpec):
            return CategoricalPolicy(actor_net(network.actor, spaces.obs_dim, spaces.action.count))
        net = actor_net(network.actor, spaces.obs_dim, 2 * spaces.action.width)
        return SquashedGaussianPolicy(net, policy.log_std_min, policy.log_std_max)

    return fitting("network.actor.hidden", network.actor.hidden, build, device)


def build_mixture(policy: PolicyConfig, network: ActorNetworkConfig, spaces: Spaces, device: torch.device) -> nn.Module:
    """A mixture of Gaussians. Weights are drawn from torch's global generator.

    Raises:
        ConfigError: if the actions are discrete, or it does not fit into memory.
    """
    _check_continuous("mixture", spaces)
    count, width = policy.components, spaces.action.width

    def build() -> nn.Module:
        net = actor_net(network, spaces.obs_dim, count * (2 * width + 1))
        return MixturePolicy(net, count, policy.log_std_min, policy.log_std_max)

    return fitting("network.actor.hidden", network.hidden, build, device)


def build_flow(network: ActorNetworkConfig, spaces: Spaces, device: torch.device) -> nn.Module:
    """The velocity field of a flow to actions. Weights are drawn from torch's global generator.

    Raises:
        ConfigError: if the actions are discrete, or it does not fit into memory.
    """
    _check_continuous("flow", spaces)
    width = spaces.action.width

    def build() -> nn.Module:
        return FlowPolicy(actor_net(network, spaces.obs_dim + width + 1, width))

    return fitting("network.actor.hidden", network.hidden, build, device)


def build_correction(network: ActorNetworkConfig, spaces: Spaces, scale: float, device: torch.device) -> nn.Module:
    """A network that corrects actions by at most `scale`. Weights are drawn from torch's global generator.

    Raises:
        ConfigError: if it does not fit into memory.
    """
    width = spaces.action.count if isinstance(spaces.action, DiscreteSpec) else spaces.action.width

    def build() -> nn.Module:
        return Correction(actor_net(network, spaces.obs_dim + width, width), scale)

    return fitting("network.actor.hidden", network.hidden, build, device)


def build_plain_policy(
    network: NetworkConfig, spaces: Spaces, log_std_min: float, log_std_max: float, device: torch.device
) -> nn.Module:
    """A policy network for weighted regression: a normal distribution that is not squashed, with one scale for all
    states, where actions are continuous. Weights are drawn from torch's global generator.

    Raises:
        ConfigError: if it does not fit into memory.
    """

    def build() -> nn.Module:
        if isinstance(spaces.action, DiscreteSpec):
            return CategoricalPolicy(actor_net(network.actor, spaces.obs_dim, spaces.action.count))
        width = spaces.action.width
        return GaussianPolicy(actor_net(network.actor, spaces.obs_dim, width), width, log_std_min, log_std_max)

    return fitting("network.actor.hidden", network.actor.hidden, build, device)


def build_critics(network: CriticNetworkConfig, spaces: Spaces, device: torch.device) -> nn.Module:
    """An ensemble of critics. Weights are drawn from torch's global generator.

    Raises:
        ConfigError: if it does not fit into memory.
    """
    size, action = network.ensemble_size, spaces.action

    def build() -> nn.Module:
        if isinstance(action, DiscreteSpec):
            return DiscreteCritics(critic_net(network, size, spaces.obs_dim, action.count), size)
        return ContinuousCritics(critic_net(network, size, spaces.obs_dim + action.width, 1), size)

    return fitting("network.critic.hidden", network.hidden, build, device)


def build_value(network: CriticNetworkConfig, spaces: Spaces, device: torch.device) -> nn.Module:
    """A network of V(s), built as a critic is. Weights are drawn from torch's global generator.

    Raises:
        ConfigError: if it does not fit into memory.
    """

    def build() -> nn.Module:
        return StateValue(critic_net(network, 1, spaces.obs_dim, 1))

    return fitting("network.critic.hidden", network.hidden, build, device)


def actor_net(network: ActorNetworkConfig, inputs: int, outputs: int) -> nn.Module:
    """The network inside a policy: (..., inputs) → (..., outputs)."""
    net: nn.Module = implementation_of("network/actor", network)(network, inputs, outputs)
    return net


def critic_net(network: CriticNetworkConfig, size: int, inputs: int, outputs: int) -> nn.Module:
    """The networks inside an ensemble of critics: (size, rows, inputs) → (size, rows, outputs)."""
    net: nn.Module = implementation_of("network/critic", network)(network, size, inputs, outputs)
    return net


def ensemble_of(network: CriticNetworkConfig) -> Ensemble:
    """How the values of the critics become one."""
    subset = network.subset_size if network.aggregate is Aggregate.random_min else 0
    return Ensemble(network.ensemble_size, subset, pessimistic=network.aggregate is Aggregate.min)


def continuous_actions(config: Config, spaces: Spaces) -> ContinuousSpec:
    """The actions of an environment, for an agent that is for continuous ones alone.

    Raises:
        ConfigError: if they are discrete.
    """
    if isinstance(spaces.action, DiscreteSpec):
        agent, allowed = choice_of("agent", config.agent).name, "rql, iql, awac or bc"
        raise ConfigError("agent", agent, f"{allowed}: the actions of {config.env.id} are discrete")
    return spaces.action


def uniform_policy(spaces: Spaces) -> UniformPolicy:
    """The policy for which every action is as likely."""
    discrete = isinstance(spaces.action, DiscreteSpec)
    width = spaces.action.count if isinstance(spaces.action, DiscreteSpec) else spaces.action.width
    return UniformPolicy(width, discrete)


def fitting(field: str, hidden: list[int], build: Callable[[], nn.Module], device: torch.device) -> nn.Module:
    """The network that `build` builds, on the device of its training.

    Raises:
        ConfigError: if the memory of the device is too small for it; it names the field.
    """
    with torch.device("meta"):  # shapes alone
        count = sum(parameter.numel() for parameter in build().parameters())
    require_memory(field, hidden, f"training its {count:,} parameters", 4 * COPIES * count, device)
    return build().to(device)


def _check_continuous(name: str, spaces: Spaces) -> None:
    if isinstance(spaces.action, DiscreteSpec):
        raise ConfigError("policy.name", name, "categorical, uniform or auto, for the actions are discrete")


def _check_policy_class(name: PolicyClass, spaces: Spaces) -> None:
    suitable = PolicyClass.categorical if isinstance(spaces.action, DiscreteSpec) else PolicyClass.squashed_gaussian
    if name not in (PolicyClass.auto, PolicyClass.uniform, suitable):
        allowed = f"this environment's actions need {suitable.name}, uniform or auto"
        raise ConfigError("policy.name", name.name, allowed)
