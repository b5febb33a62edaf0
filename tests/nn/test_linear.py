"""Linear layers whose products between hidden units are in bfloat16: what is rounded, and what is not."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad

from rql.nn.linear import EnsembleLinear, Linear, hidden_product, hidden_products_in, input_product, output_product
from rql.nn.mlp import mlp
from rql.nn.resnet import ResNet

BF16 = torch.bfloat16


def test_what_enters_a_network_is_rounded_to_16_bits_and_hidden_units_to_8() -> None:
    weight = torch.tensor([[1.0], [-1.0]])
    close = torch.tensor([[1.01, 1.0]])  # 8 bits hold 1.0078
    assert torch.equal(input_product(close, weight), close @ weight)
    with hidden_products_in(BF16):
        assert input_product(close, weight).item() == pytest.approx(0.01, rel=2**-8)
        assert hidden_product(close, weight).item() == 0.0078125
        assert input_product(close, weight).dtype == hidden_product(close, weight).dtype == BF16
    assert hidden_product(close, weight).dtype == torch.float32


@pytest.mark.parametrize("outputs", [1, 3])
def test_what_a_network_gives_is_computed_in_float32(outputs: int) -> None:
    x, weight = torch.randn(2, 5, 64), torch.randn(2, 64, outputs)
    torch.testing.assert_close(output_product(x.to(BF16), weight), x.to(BF16).float() @ weight)
    assert torch.equal(output_product(x, weight), x @ weight)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "mlp": lambda: mlp(Linear, 5, [64, 64], 3, layer_norm=False),
    "normed mlp": lambda: mlp(Linear, 5, [64, 64], 3, layer_norm=True),
    "critics": lambda: mlp(partial(EnsembleLinear, 2), 5, [64, 64], 1, layer_norm=True),
    "resnet": lambda: ResNet(Linear, 5, 64, [64, 64], 3, layer_norm=True),
    "critics of resnets": lambda: ResNet(partial(EnsembleLinear, 2), 5, 64, [64], 1, layer_norm=True),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_and_their_gradients_are_float32_and_near_those_of_float32(name: str) -> None:
    torch.manual_seed(0)
    network = NETWORKS[name]()
    x = torch.randn(2, 100, 5)

    def loss(params: dict[str, Tensor]) -> Tensor:
        found: Tensor = functional_call(network, params, (x,))
        assert found.dtype == torch.float32
        return found.square().mean()

    params = {key: value.detach() for key, value in network.named_parameters()}
    exact, value = grad(loss)(params), loss(params)
    with hidden_products_in(BF16):
        lowered, near = grad(loss)(params), loss(params)
    assert 0.0 < abs(near / value - 1.0) < 0.02
    for key, gradient in exact.items():
        assert lowered[key].dtype == torch.float32
        assert (lowered[key] - gradient).norm() < 0.03 * gradient.norm(), key
