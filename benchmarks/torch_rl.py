"""One update of TorchRL's losses, with torch's Adam and TorchRL's target networks, on the batch of the others."""

from collections.abc import Callable
from typing import Any

import torch
from tensordict import TensorDict
from tensordict.nn import NormalParamExtractor, TensorDictModule
from torch import Tensor, nn
from torchrl.data import Bounded
from torchrl.modules import MLP, ProbabilisticActor, TanhNormal, ValueOperator
from torchrl.objectives import BCLoss, CQLLoss, IQLLoss, SACLoss, SoftUpdate, TD3BCLoss

LEARNING_RATE, DISCOUNT, KEPT = 3e-4, 0.99, 0.995
CLONING = "loss_actor_bc"
"""What CQL's actor minimises in place of the other loss as training begins."""


def policy(hidden: list[int], data: dict[str, Tensor]) -> ProbabilisticActor:
    """A normal distribution of which actions are the tanh."""
    dims, device = data["action"].shape[1], data["obs"].device
    network = MLP(data["obs"].shape[1], 2 * dims, num_cells=hidden, activation_class=nn.ReLU, device=device)
    module = nn.Sequential(network, NormalParamExtractor())
    parameters = TensorDictModule(module, in_keys=["observation"], out_keys=["loc", "scale"])
    return ProbabilisticActor(parameters, ["loc", "scale"], distribution_class=TanhNormal, return_log_prob=True)


def deterministic(hidden: list[int], data: dict[str, Tensor]) -> TensorDictModule:
    """A function of the observation."""
    dims, device = data["action"].shape[1], data["obs"].device
    network = MLP(data["obs"].shape[1], dims, num_cells=hidden, activation_class=nn.ReLU, device=device)
    return TensorDictModule(nn.Sequential(network, nn.Tanh()), in_keys=["observation"], out_keys=["action"])


def value(hidden: list[int], data: dict[str, Tensor], keys: list[str]) -> ValueOperator:
    """A network of the observation and, where `keys` has it, of the action."""
    width = sum(data[{"observation": "obs"}.get(key, key)].shape[1] for key in keys)
    network = MLP(width, 1, num_cells=hidden, activation_class=nn.ReLU, device=data["obs"].device)
    return ValueOperator(network, in_keys=keys)


def batch_of(data: dict[str, Tensor]) -> TensorDict:
    """The batch as TorchRL has it."""
    ends = data["terminated"].bool().unsqueeze(-1)
    following = {"observation": data["next_obs"], "reward": data["reward"].unsqueeze(-1), "done": ends}
    content = {"observation": data["obs"], "action": data["action"], "next": following | {"terminated": ends}}
    return TensorDict(content, batch_size=len(ends), device=ends.device)


def torch_rl(method: str, hidden: list[int], data: dict[str, Tensor]) -> Callable[[], None]:
    """One update by a method."""
    state_action = ["observation", "action"]
    if method == "td3_bc":
        return td3_bc(hidden, data)
    actor, q = policy(hidden, data), value(hidden, data, state_action)
    makes: dict[str, Callable[[], Any]] = {
        "bc": lambda: BCLoss(actor),
        "sac": lambda: SACLoss(actor, q, target_entropy=-float(data["action"].shape[1])),
        "cql": lambda: CQLLoss(actor, q, num_random=10, target_entropy=-float(data["action"].shape[1])),
        "iql": lambda: IQLLoss(actor, q, value(hidden, data, ["observation"])),
    }
    loss, batch = makes[method](), batch_of(data)
    adam = torch.optim.Adam(loss.parameters(), lr=LEARNING_RATE)
    target = None
    if method != "bc":
        loss.make_value_estimator(gamma=DISCOUNT)
        target = SoftUpdate(loss, eps=KEPT)

    def step() -> None:
        found = loss(batch)
        adam.zero_grad()
        parts = [part for name, part in found.items() if name.startswith("loss") and name != CLONING]
        total: Any = torch.stack(parts).sum()
        total.backward()
        adam.step()
        if target:
            target.step()

    return step


def td3_bc(hidden: list[int], data: dict[str, Tensor]) -> Callable[[], None]:
    """One update of the critics, and each second time of the actor."""
    keys = ["observation", "action"]
    low = -torch.ones(data["action"].shape[1], device=data["obs"].device)
    spec = Bounded(low, -low, device=low.device)
    loss = TD3BCLoss(deterministic(hidden, data), value(hidden, data, keys), action_spec=spec)
    loss.make_value_estimator(gamma=DISCOUNT)
    parts = (loss.qvalue_network_params, loss.actor_network_params)
    critic_adam, actor_adam = (torch.optim.Adam([*part.flatten_keys().values()], lr=LEARNING_RATE) for part in parts)
    batch, target, count = batch_of(data), SoftUpdate(loss, eps=KEPT), [0]

    def step() -> None:
        critic_adam.zero_grad()
        loss.qvalue_loss(batch)[0].backward()
        critic_adam.step()
        if count[0] % 2 == 0:
            actor_adam.zero_grad()
            loss.actor_loss(batch)[0].backward()
            actor_adam.step()
            target.step()
        count[0] += 1

    return step
