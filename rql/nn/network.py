"""Networks as pure functions of their parameters."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

from torch import Tensor, nn
from torch.func import functional_call

Params = dict[str, Tensor]

_loaded: Callable[[nn.Module, Params], nn.Module] | None = None


def apply(network: nn.Module, params: Params, *inputs: Tensor) -> Any:
    """What the network gives for `inputs` if its parameters were `params`."""
    if _loaded is not None:
        return _loaded(network, params)(*inputs)
    return functional_call(network, params, inputs, tie_weights=False)  # none are, and looking takes time


def parameters_of(network: nn.Module) -> Params:
    """The parameters of a network by name, as they were drawn."""
    return dict(network.named_parameters())


def starting_at_zero(network: nn.Module) -> nn.Module:
    """The network, whose last layer, the one that was registered last, is set to 0: it gives 0 until it learns."""
    *_, last = (module for module in network.modules() if next(module.parameters(recurse=False), None) is not None)
    for parameter in last.parameters(recurse=False):
        nn.init.zeros_(parameter)
    return network


@contextmanager
def with_loaded_networks(modules: nn.ModuleList) -> Iterator[None]:
    """A time in which `apply` uses copies of the networks that hold the parameters, and adds them to `modules`.

    A tracer cannot follow `functional_call`, and sees such modules as the constants that they are.
    """
    global _loaded
    copies: dict[tuple[int, int], nn.Module] = {}

    def loaded(network: nn.Module, params: Params) -> nn.Module:
        key = (id(network), id(params))
        if key not in copies:
            copies[key] = deepcopy(network)
            copies[key].load_state_dict(params)
            modules.append(copies[key].requires_grad_(False))
        return copies[key]

    _loaded = loaded
    try:
        yield
    finally:
        _loaded = None
