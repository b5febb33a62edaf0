"""A SAC as LeanRL trains it: modules and torch's Adam, compiled, and recorded as CUDA graphs by tensordict.

The design is that of `leanrl/sac_continuous_action_torchcompile.py` (github.com/meta-pytorch/LeanRL), written anew for
batches that lie ready: one function for the critics and one for actor and temperature, the two critics as one batched
module, the target network moved outside of both.
"""

import math
from typing import Any

import torch
from tensordict import TensorDict
from tensordict.nn import CudaGraphModule
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

Data = dict[str, Tensor]
LOW, HIGH = -5.0, 2.0
"""Bounds of the logarithm of the policy's scale."""


def mlp(width: int, hidden: list[int], outputs: int, device: torch.device) -> nn.Sequential:
    """A network with ReLUs."""
    layers: list[nn.Module] = []
    for size in hidden:
        layers += [nn.Linear(width, size, device=device), nn.ReLU()]
        width = size
    return nn.Sequential(*layers, nn.Linear(width, outputs, device=device))


class LeanSAC:
    """Updates on one batch of obs, action, reward, next_obs and terminated."""

    def __init__(self, data: Data, hidden: list[int], device: torch.device) -> None:
        width, self.dims = data["obs"].shape[1], data["action"].shape[1]
        self.actor = mlp(width, hidden, 2 * self.dims, device)
        pair = [mlp(width + self.dims, hidden, 1, device) for _ in range(2)]
        self.critics = stack_module_state(pair)[0]
        self.target = {name: value.detach().clone() for name, value in self.critics.items()}
        self.shell = mlp(width + self.dims, hidden, 1, torch.device("meta"))
        self.log_alpha = torch.zeros(1, requires_grad=True, device=device)
        fast: Any = {"lr": 3e-4, "capturable": device.type == "cuda"}
        learned = (self.critics.values(), self.actor.parameters(), [self.log_alpha])
        self.critic_adam, self.actor_adam, self.alpha_adam = (torch.optim.Adam(part, **fast) for part in learned)
        self.batch = TensorDict(data, batch_size=len(data["obs"]), device=device)
        updates: list[Any] = [torch.compile(self.update_critics), torch.compile(self.update_actor)]
        if device.type == "cuda":
            updates = [CudaGraphModule(update, in_keys=[], out_keys=[], warmup=5) for update in updates]
        self.updates = updates

    def __call__(self) -> None:
        """One update of all."""
        for update in self.updates:
            update(self.batch)
        torch._foreach_lerp_([*self.target.values()], [value.detach() for value in self.critics.values()], 0.005)

    def act(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Actions, and the logarithms of their densities."""
        mean, scale = self.actor(obs).chunk(2, dim=-1)
        scale = LOW + 0.5 * (HIGH - LOW) * (torch.tanh(scale) + 1.0)
        raw = mean + scale.exp() * torch.randn_like(mean)
        normal = -0.5 * ((raw - mean) / scale.exp()).square() - scale - 0.5 * math.log(2.0 * math.pi)
        action = raw.tanh()
        return action, (normal - torch.log(1.0 - action.square() + 1e-6)).sum(1)

    def q(self, params: Any, obs: Tensor, action: Tensor) -> Tensor:
        """Of one critic."""
        value: Tensor = functional_call(self.shell, params, (torch.cat([obs, action], 1),)).squeeze(-1)
        return value

    def both(self, params: Any, obs: Tensor, action: Tensor) -> Tensor:
        """Of both critics."""
        return torch.vmap(self.q, (0, None, None))(params, obs, action)

    def update_critics(self, batch: Any) -> Any:
        """Down the TD error."""
        self.critic_adam.zero_grad()
        with torch.no_grad():
            following, log_prob = self.act(batch["next_obs"])
            value = self.both(self.target, batch["next_obs"], following).min(0).values
            value = value - self.log_alpha.exp() * log_prob
            aim = batch["reward"] + (1.0 - batch["terminated"]) * 0.99 * value
        loss = (self.both(self.critics, batch["obs"], batch["action"]) - aim).square().mean(1).sum()
        torch.autograd.backward(loss)
        self.critic_adam.step()
        return TensorDict(loss=loss.detach())

    def update_actor(self, batch: Any) -> Any:
        """Up the value and the entropy, and the temperature to its target."""
        self.actor_adam.zero_grad()
        action, log_prob = self.act(batch["obs"])
        value = self.both(self.critics, batch["obs"], action).min(0).values
        loss = (self.log_alpha.detach().exp() * log_prob - value).mean()
        torch.autograd.backward(loss)
        self.actor_adam.step()
        self.alpha_adam.zero_grad()
        with torch.no_grad():
            _, log_prob = self.act(batch["obs"])
        torch.autograd.backward((-self.log_alpha.exp() * (log_prob + self.dims)).mean())
        self.alpha_adam.step()
        return TensorDict(loss=loss.detach())
