"""What is known of a prior that is a network of this package: its density, which `composition=amortized` follows."""

from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor, nn

from rql.config.networks import ActorNetworkConfig, PolicyConfig
from rql.config.schema import Config
from rql.nn.network import Params, apply
from rql.nn.normalizer import Normalizer
from rql.utils.errors import ConfigError


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

    def log_prob(self, obs: Tensor, action: Tensor) -> Tensor:
        """log π(a|s) (B,) at raw observations (B, obs_dim), of actions (B,) or (B, d)."""
        found: Tensor = apply(self.network, self.params, self.normalizer(obs)).log_prob(action)
        return found

    def require(self, config: Config, name: str) -> None:
        """Refuse a configuration whose own network is built in another way than that of the prior of this `name`.

        Raises:
            ConfigError: with the key that differs.
        """
        if type(config.network.actor) is not type(self.sizes):
            found = type(config.network.actor).__name__
            raise ConfigError("network.actor", found, f"{type(self.sizes).__name__}, that of {name}")
        _require_equal("network.actor", config.network.actor, self.sizes, name)
        _require_equal("policy", config.policy, self.policy, name)
        if config.chunk.length != self.length:
            raise ConfigError("chunk.length", config.chunk.length, f"{self.length}, for which {name} was trained")


def _require_equal(section: str, here: Any, there: Any, name: str) -> None:
    for field in fields(here):
        value, allowed = (getattr(one, field.name) for one in (here, there))
        if value != allowed:
            key = f"{section}.{field.name}"
            value, allowed = (getattr(one, "name", one) for one in (value, allowed))
            raise ConfigError(key, value, f"{allowed}: the network of {name} is taken over")
