"""Target networks."""

from torch import Tensor

from rql.nn.network import Params


def polyak(target: Params, online: Params, tau: Tensor) -> Params:
    """Q̄ ← (1−τ) Q̄ + τ Q."""
    return {name: value.lerp(online[name], tau) for name, value in target.items()}
