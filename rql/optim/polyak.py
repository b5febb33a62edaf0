"""Target networks."""

from torch import Tensor

from rql.nn.network import Params


def copied(params: Params) -> Params:
    """The parameters of a target as training begins: copies, for a compiled update that met one tensor in two places
    would be compiled anew for two.
    """
    return {name: value.clone() for name, value in params.items()}


def polyak(target: Params, online: Params, tau: Tensor) -> Params:
    """Q̄ ← (1−τ) Q̄ + τ Q."""
    return {name: value.lerp(online[name], tau) for name, value in target.items()}
