"""Adam (Kingma & Ba 2015) as a pure function over dictionaries of parameters."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import grad_and_value

from rql.nn.network import Params

Metrics = dict[str, Tensor]
"""Scalars, still tensors: nothing waits for them until they are logged."""
Loss = tuple[Tensor, Metrics]
"""What a loss function gives: its value, and metrics."""
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class Learned(NamedTuple):
    """Parameters with their optimiser's moments."""

    params: Params
    first_moment: Params
    second_moment: Params
    steps: Tensor
    """Updates so far, a float scalar."""


def gradient_norm(state: Learned) -> Tensor:
    """The root mean square of the gradient's norm over about the last 1 / (1 − β2) updates, from the second moments."""
    squares = torch.stack([moment.sum() for moment in state.second_moment.values()])
    return (squares.sum() / (1.0 - BETA2**state.steps)).sqrt()


def learned(params: Params) -> Learned:
    """Parameters at the start of their training, copied."""
    copies = {name: value.detach().clone() for name, value in params.items()}
    first, second = ({name: torch.zeros_like(value) for name, value in copies.items()} for _ in range(2))
    device = next(iter(copies.values())).device if copies else None
    return Learned(copies, first, second, torch.zeros((), device=device))


def descend(
    state: Learned, loss: Callable[[Params], Loss], learning_rate: Tensor, max_norm: Tensor | None = None
) -> tuple[Learned, Metrics]:
    """One step of Adam down a loss, which gives its scalar value and metrics; the metrics before the step.

    A gradient whose norm exceeds `max_norm` is scaled down to it.
    """
    gradients, metrics = gradients_of(loss, state.params)
    return adam_step(state, gradients if max_norm is None else clipped(gradients, max_norm), learning_rate), metrics


def gradients_of(loss: Callable[[Params], Loss], params: Params) -> tuple[Params, Metrics]:
    """The gradient of a loss, and its metrics.

    Inside `torch.vmap` it needs functorch. Elsewhere a small update would take half as long again with it, and the
    first one would import the compiler, for seconds.
    """
    if torch._C._functorch.peek_interpreter_stack() is not None:
        found, (_, metrics) = grad_and_value(loss, has_aux=True)(params)
        return found, metrics
    leaves = {name: value.detach().requires_grad_() for name, value in params.items()}
    with torch.enable_grad():
        value, metrics = loss(leaves)
    metrics = {name: metric.detach() for name, metric in metrics.items()}
    if not value.requires_grad:  # a loss of none of the parameters
        return {name: torch.zeros_like(leaf) for name, leaf in params.items()}, metrics
    gradients = torch.autograd.grad(value, list(leaves.values()), materialize_grads=True)
    return dict(zip(leaves, gradients, strict=True)), metrics


def clipped(gradients: Params, max_norm: Tensor) -> Params:
    """The gradient, scaled down to a norm of `max_norm` where it exceeds that."""
    norm = torch.stack([gradient.square().sum() for gradient in gradients.values()]).sum().sqrt()
    factor = max_norm / torch.maximum(norm, max_norm)
    return {name: factor * gradient for name, gradient in gradients.items()}


def adam_step(state: Learned, gradients: Params, learning_rate: Tensor) -> Learned:
    """One step of Adam down `gradients`."""
    steps = state.steps + 1.0
    # by exp, for what has an exponential in it is computed once where this is compiled, and a power for every parameter
    size = learning_rate / (1.0 - (steps * math.log(BETA1)).exp())
    correction = (1.0 - (steps * math.log(BETA2)).exp()).rsqrt()
    params: Params = {}
    first: Params = {}
    second: Params = {}
    for name, gradient in gradients.items():
        first[name] = state.first_moment[name].lerp(gradient, 1.0 - BETA1)
        second[name] = state.second_moment[name].lerp(gradient.square(), 1.0 - BETA2)
        step = first[name] / (second[name].sqrt() * correction + EPSILON)
        params[name] = state.params[name] - size * step
    return Learned(params, first, second, steps)
