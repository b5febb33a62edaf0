"""Adam on a tree of parameters."""

from collections.abc import Callable

import pytest
import torch
from rql_setup import same
from torch import Tensor

from rql.nn.network import Params
from rql.optim.adam import Learned, Loss, Metrics, adam_step, clipped, descend, gradient_norm, learned
from rql.utils.tree import map_leaves


def test_adam_equals_torchs() -> None:
    torch.manual_seed(0)
    parameter = torch.nn.Parameter(torch.randn(5))
    ours = learned({"p": parameter})
    theirs = torch.optim.Adam([parameter], lr=0.01)
    loss: Callable[[Tensor], Tensor] = lambda p: (p**4).sum()  # noqa: E731
    for _ in range(10):
        gradient = torch.func.grad(loss)(ours.params["p"])
        ours = adam_step(ours, {"p": gradient}, torch.tensor(0.01))
        theirs.zero_grad()
        loss(parameter).backward()  # type: ignore[no-untyped-call]
        theirs.step()
    assert torch.allclose(ours.params["p"], parameter, atol=1e-6)


def test_the_gradient_norm_is_the_root_mean_square_of_those_that_adam_saw() -> None:
    state = learned({"p": torch.zeros(2), "q": torch.zeros(())})
    for size in (1.0, 3.0):
        gradients = {"p": torch.tensor([0.0, 3.0]) * size, "q": torch.tensor(4.0) * size}
        state = adam_step(state, gradients, torch.tensor(0.01))
    expected = (0.999 * 5.0**2 + 15.0**2) / (0.999 + 1.0)
    assert gradient_norm(state) == pytest.approx(expected**0.5, rel=1e-4)


def test_a_gradient_beyond_its_limit_is_scaled_down_to_it_and_others_are_left() -> None:
    gradients = {"p": torch.tensor([0.0, 3.0]), "q": torch.tensor(4.0)}
    assert same(clipped(gradients, torch.tensor(5.0)), gradients)
    half = clipped(gradients, torch.tensor(2.5))
    assert half["p"].tolist() == [0.0, 1.5] and half["q"].item() == 2.0


def test_descending_is_the_same_inside_vmap() -> None:
    weights = torch.tensor([[1.0, -2.0], [0.5, 3.0]])
    unused = torch.ones(2, 3)

    def step(weight: Tensor, more: Tensor) -> tuple[Learned, Metrics]:
        def loss(params: Params) -> Loss:
            value = (params["p"] ** 4).sum()
            return value, {"loss": value}

        return descend(learned({"p": weight, "unused": more}), loss, torch.tensor(0.1))

    together, losses = torch.vmap(step)(weights, unused)
    for member in range(2):
        alone, metrics = step(weights[member], unused[member])
        assert same(map_leaves(lambda leaf, member=member: leaf[member], together), alone)
        assert losses["loss"][member] == metrics["loss"] == (weights[member] ** 4).sum()
        assert not alone.params["p"].requires_grad and not metrics["loss"].requires_grad
        assert torch.equal(alone.first_moment["p"], 0.1 * 4.0 * weights[member] ** 3)
        assert not alone.first_moment["unused"].any()


@pytest.mark.parametrize("params", [{}, {"p": torch.ones(2)}])
def test_a_loss_of_no_parameter_has_no_gradient(params: Params) -> None:
    loss: Callable[[Params], Loss] = lambda _: (torch.ones(()), {"loss": torch.ones(())})  # noqa: E731
    after, metrics = descend(learned(params), loss, torch.tensor(0.1))
    assert same(after.params, params) and metrics["loss"] == 1.0
