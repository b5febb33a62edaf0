"""The architectures against their equations, and an ensemble against its members."""

import pytest
import torch
from conftest import compose_config
from torch.nn.functional import layer_norm, linear, relu

from rql.agents.networks import actor_net, critic_net
from rql.config.registry import choices
from rql.nn.critics import MANY, ContinuousCritics

INPUTS, OUTPUTS, SIZE = 3, 2, 4


def networks(kind: str) -> tuple[torch.nn.Module, torch.nn.Module]:
    """An actor's network and those of an ensemble of critics."""
    config = compose_config(
        f"network/actor={kind}", f"network/critic={kind}", "network.actor.hidden=[5,7]", "network.critic.hidden=[5,7]"
    ).network
    torch.manual_seed(0)
    return actor_net(config.actor, INPUTS, OUTPUTS), critic_net(config.critic, SIZE, INPUTS, OUTPUTS)


def test_the_residual_network_adds_what_each_block_makes_of_the_normalised_input() -> None:
    actor, _ = networks("resnet")
    (w, b), *blocks, (w_last, b_last) = _layers(actor)
    obs = torch.randn(6, INPUTS)
    x = linear(obs, w, b)
    for (w_in, b_in), (w_out, b_out) in zip(blocks[::2], blocks[1::2], strict=True):
        x = x + linear(relu(linear(layer_norm(x, x.shape[-1:]), w_in, b_in)), w_out, b_out)
    torch.testing.assert_close(actor(obs), linear(layer_norm(x, x.shape[-1:]), w_last, b_last))


@pytest.mark.parametrize("kind", sorted(choices()["network/critic"]))
def test_an_ensemble_is_its_members_side_by_side(kind: str) -> None:
    actor, critics = networks(kind)
    weights = dict(critics.named_parameters())
    obs = torch.randn(6, INPUTS)
    together = critics(obs.expand(SIZE, -1, -1))
    for member in range(SIZE):
        alone = {
            name: value[member].T if name.endswith("weight") else value[member, 0] for name, value in weights.items()
        }
        torch.testing.assert_close(torch.func.functional_call(actor, alone, (obs,)), together[member])


@pytest.mark.parametrize("kind", sorted(choices()["network/critic"]))
@pytest.mark.parametrize("shape", [(6,), (SIZE, 6)], ids=["actions for all", "actions for each critic"])
def test_the_values_of_many_actions_are_those_of_each_alone(kind: str, shape: tuple[int, ...]) -> None:
    config = compose_config(f"network/critic={kind}", "network.critic.hidden=[5,7]").network
    critics = ContinuousCritics(critic_net(config.critic, SIZE, INPUTS + 2, 1), SIZE)
    obs, actions = torch.randn(6, INPUTS), torch.randn(*shape, MANY, 2, requires_grad=True)
    together = critics(obs, actions)
    alone = torch.cat([critics(obs, actions[..., [i], :]) for i in range(MANY)], dim=-1)
    torch.testing.assert_close(together, alone)
    learned, weight = (actions, *critics.parameters()), torch.randn_like(alone)
    gradients = (torch.autograd.grad((values * weight).sum(), learned) for values in (together, alone))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def _layers(net: torch.nn.Module) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Weight and bias of the linear layers, from the first to the last."""
    return [(layer.weight, layer.bias) for layer in net.modules() if isinstance(layer, torch.nn.Linear)]
