"""What is known of a prior that is a network of this package: its density, which `composition=amortized` follows."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor, nn

from rql.config.networks import ActorNetworkConfig, PolicyConfig
from rql.config.registry import choice_of
from rql.config.schema import Config
from rql.nn.network import Params, apply
from rql.nn.normalizer import Normalizer
from rql.nn.policies import SquashedGaussianPolicy
from rql.utils.errors import ConfigError
from rql.utils.tree import named_leaves


@dataclass(frozen=True)
class Density:
    """π(a|s) as a network whose output is a distribution over actions in [−1, 1]^d, or over discrete ones."""

    network: nn.Module
    params: Params
    normalizer: Normalizer
    """Of what the network reads."""
    policy: PolicyConfig
    sizes: ActorNetworkConfig
    """As whom the network was built."""
    length: int
    """h: the actions that it decides on at once."""

    @property
    def digest(self) -> str:
        """Of what it computes, whatever else its file holds."""
        leaves = named_leaves((self.params, self.normalizer))
        content = b"".join(leaf.cpu().numpy().tobytes() for leaf in leaves.values())
        return hashlib.sha256(content).hexdigest()

    def log_prob(self, obs: Tensor, action: Tensor) -> Tensor:
        """log π(a|s) (B,) at raw observations (B, obs_dim), of actions (B,) or (B, d)."""
        found: Tensor = apply(self.network, self.params, self.normalizer(obs)).log_prob(action)
        return found

    def require(self, config: Config, name: str) -> None:
        """Refuse a configuration whose own network is built in another way than that of the prior of this `name`.

        Raises:
            ConfigError: with the key that differs.
        """
        found, allowed = (choice_of("network/actor", one).name for one in (config.network.actor, self.sizes))
        if found != allowed:
            raise ConfigError("network/actor", found, f"{allowed}: the network of {name} is taken over")
        _require_equal(
            "network.actor", config.network.actor, self.sizes, [one.name for one in fields(self.sizes)], name
        )
        if isinstance(self.network, SquashedGaussianPolicy):
            _require_equal("policy", config.policy, self.policy, ["log_std_min", "log_std_max"], name)
        if config.chunk.length != self.length:
            raise ConfigError("chunk.length", config.chunk.length, f"{self.length}, for which {name} was trained")


def _require_equal(section: str, here: Any, there: Any, names: Sequence[str], whose: str) -> None:
    for name in names:
        value, allowed = getattr(here, name), getattr(there, name)
        if value != allowed:
            raise ConfigError(f"{section}.{name}", value, f"{allowed}: the network of {whose} is taken over")
