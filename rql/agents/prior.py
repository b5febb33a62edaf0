"""π_BC: a clone that is composed by its density or by its samples, or another policy that proposes actions."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rql.agents.base import Noise, normal, uniform
from rql.agents.networks import build_flow, build_mixture, build_policy
from rql.config.choices import PolicyClass
from rql.config.schema import Config
from rql.data.batch import NEXT_PROPOSALS
from rql.data.columns import PROPOSALS
from rql.envs.spaces import Spaces
from rql.method.losses import bc_loss, flow_loss
from rql.nn.distributions import Flow, Proposals
from rql.nn.network import Params, apply, parameters_of


@dataclass(frozen=True)
class ClonedPrior:
    """A network whose output is a distribution. Observations are normalised ones everywhere here."""

    network: nn.Module

    needs: ClassVar[frozenset[str]] = frozenset()
    """What batches need beside their columns."""
    dense: ClassVar[bool] = True
    """Whether it is composed by its density; by its samples otherwise."""
    further_draws: ClassVar[int] = 0
    """Random numbers that an action takes beyond one for each of its dimensions."""

    def initial(self) -> Params:
        """The parameters before anything was learned."""
        return parameters_of(self.network)

    def at(self, params: Params, obs: Tensor, proposals: Tensor | None) -> Any:
        """π_BC(·|s) at observations (B, obs_dim); `proposals` (B, K, d) are those of another policy, if it is one."""
        return apply(self.network, params, obs)

    def noise(self, batch: int, generator: torch.Generator) -> Noise:
        """The random numbers of one `loss`."""
        return {}

    def loss(self, params: Params, obs: Tensor, action: Tensor, mask: Tensor | None, noise: Noise) -> Tensor:
        """L_BC at observations (B, obs_dim) and the actions (B, d) that were demonstrated there.

        Where there is a `mask` (B, d), a 0 stands for what was not.
        """
        return bc_loss(apply(self.network, params, obs), action, mask)


@dataclass(frozen=True)
class MixturePrior(ClonedPrior):
    """A mixture of Gaussians, whose KL from another distribution has no closed form."""

    dense: ClassVar[bool] = False
    further_draws: ClassVar[int] = 1


@dataclass(frozen=True)
class FlowPrior(ClonedPrior):
    """A velocity field that carries normal noise to actions (Lipman et al. 2023; Liu et al. 2023, rectified flow)."""

    steps: int
    """Euler steps of a sample."""
    dims: int
    """d."""

    dense: ClassVar[bool] = False

    def at(self, params: Params, obs: Tensor, proposals: Tensor | None) -> Flow:
        """π_BC(·|s) at observations (B, obs_dim)."""
        return Flow(lambda *inputs: apply(self.network, params, *inputs), obs, self.steps, self.dims)

    def noise(self, batch: int, generator: torch.Generator) -> Noise:
        """Where the flow of each action begins, and the moment at which its velocity is learned."""
        return {"start": normal((batch, self.dims), generator), "time": uniform((batch, 1), generator)}

    def loss(self, params: Params, obs: Tensor, action: Tensor, mask: Tensor | None, noise: Noise) -> Tensor:
        """The loss of flow matching."""
        start, time = noise["start"], noise["time"]
        velocity = apply(self.network, params, obs, torch.lerp(start, action, time), time)
        return flow_loss(velocity, start, action, mask)


@dataclass(frozen=True)
class GivenPrior(ClonedPrior):
    """A policy that is there already; nothing of it is learned."""

    needs: ClassVar[frozenset[str]] = frozenset({PROPOSALS, NEXT_PROPOSALS})
    dense: ClassVar[bool] = False

    def initial(self) -> Params:
        """No parameters."""
        return {}

    def at(self, params: Params, obs: Tensor, proposals: Tensor | None) -> Proposals:
        """What it proposes."""
        assert proposals is not None
        return Proposals(proposals)


def build_prior(config: Config, spaces: Spaces, device: torch.device) -> ClonedPrior:
    """π_BC of the class that `policy` names, or of the policy that is asked. Weights are drawn from torch's global
    generator.

    Raises:
        ConfigError: if the policy class does not suit the actions, or the network does not fit into memory.
    """
    if config.asks_prior:
        return GivenPrior(nn.Identity())
    if config.policy.name is PolicyClass.flow:
        velocity = build_flow(config.network.actor, spaces, device)
        return FlowPrior(velocity, config.policy.flow_steps, spaces.action.width)
    if config.policy.name is PolicyClass.mixture:
        return MixturePrior(build_mixture(config.policy, config.network.actor, spaces, device))
    return ClonedPrior(build_policy(config.policy, config.network, spaces, device))
