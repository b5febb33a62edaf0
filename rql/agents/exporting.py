"""A policy as a file that runs without this package: TorchScript, torch.export or ONNX."""

import importlib
import io
import logging
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rql.agents.loading import SavedAgent
from rql.data.columns import PROPOSALS
from rql.envs.spaces import DiscreteSpec
from rql.nn.network import with_loaded_networks
from rql.nn.normalizer import Normalizer
from rql.priors.base import EVALUATION, Proposer, asked_for, prior_draws
from rql.utils.errors import RQLError
from rql.utils.extras import remedy

FORMATS = ("torchscript", "onnx", "torch.export")
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
INPUT, OUTPUT = "obs", "action"

Inputs = tuple[Tensor, ...]

CHECKED = 1000
"""Observations on which an exported policy must act as the agent does."""
TOLERANCE = 1e-5
"""Of the difference of two actions, where the range of an action is 2."""
ROUNDING = 1e-5
"""Two candidates are as good as one another where their scores differ by less than this share of the largest."""

Act = Callable[..., Tensor]
"""Raw flat observations (B, obs_dim) float32 → the environment's actions (B, …)."""


class PolicyModule(nn.Module):
    """A policy at its mode, with the normaliser of observations and the scale of actions inside.

    Where it finetunes another policy, that is inside too if it is made of torch; or what that proposes is an input.
    """

    def __init__(self, saved: SavedAgent, which: str) -> None:
        super().__init__()
        self._act, self._state, self._spec = saved.agent.policies[which].act, saved.state, saved.decided
        self.prior = saved.prior.module if saved.prior is not None else None
        self.networks = nn.ModuleList()
        """The networks that the policy uses, with their parameters."""
        if not isinstance(self._spec, DiscreteSpec):
            self._low, self._high = torch.from_numpy(self._spec.low), torch.from_numpy(self._spec.high)

    def forward(self, obs: Tensor, proposals: Tensor | None = None) -> Tensor:
        """Raw flat observations (B, obs_dim) float32 → the environment's actions, (B,) int64, (B, *shape), or
        (B, h, *shape) of an agent that decides on h at once.

        `proposals` (B, K, d) in [−1, 1] are given where they are an input.
        """
        if self.prior is not None:
            proposals = self._scaled(self.prior(obs)).unsqueeze(1)
        action = self._act(self._state, obs, {} if proposals is None else {PROPOSALS: proposals}, True)
        if isinstance(self._spec, DiscreteSpec):
            return action + self._spec.start
        scaled = self._low + 0.5 * (action.clamp(-1.0, 1.0) + 1.0) * (self._high - self._low)
        inside = torch.minimum(torch.maximum(scaled, self._low), self._high)
        return inside.to(self._low.dtype).reshape(-1, *self._spec.shape)

    def _scaled(self, action: Tensor) -> Tensor:
        """The environment's actions (B, …) to [−1, 1], the first of them where they are more: (B, d)."""
        flat = action.reshape(action.shape[0], -1)[:, : len(self._low)]
        return (2.0 * (flat - self._low) / (self._high - self._low) - 1.0).float().clamp(-1.0, 1.0)


def export_policy(saved: SavedAgent, which: str, to: str) -> bytes:
    """The content of a file of one of `FORMATS`, which was loaded again and acts as the agent does.

    Raises:
        RQLError: if it does not, or a package that the format needs is not installed.
    """
    check_packages(to)
    module = PolicyModule(saved, which).eval()
    if saved.prior is not None and to != "torchscript" and isinstance(module.prior, torch.jit.ScriptModule):
        raise RQLError(f"--to {to} cannot take {saved.prior.name} along, and --to torchscript can")
    inputs = _inputs(saved)
    with torch.no_grad(), warnings.catch_warnings(), with_loaded_networks(module.networks):
        warnings.simplefilter("ignore")  # of torch, about itself
        example = tuple(one[:2] for one in inputs.values())
        module(*example)  # finds the networks that it uses
        content = _WRITERS[to](module, example)
        act = load_exported(content, to)
        parts = [tuple(one[rows] for one in inputs.values()) for rows in (slice(0, 1), slice(1, None))]
        wrong = _disagreements(saved, which, inputs, torch.cat([act(*part) for part in parts]))
    if wrong:
        raise RQLError(
            f"the policy exported to {to} acts otherwise than the agent at {wrong} of {CHECKED} observations"
        )
    return content


def load_exported(content: bytes, to: str) -> Act:
    """The policy of an exported file.

    Raises:
        RQLError: if a package that the format needs is not installed.
    """
    if to == "torchscript":
        script: Act = torch.jit.load(io.BytesIO(content), map_location="cpu")  # type: ignore[no-untyped-call]
        return script
    if to == "torch.export":
        program: Any = torch.export.load(io.BytesIO(content)).module()
        return lambda *inputs: program(*inputs)
    try:
        runtime = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise RQLError(f"an ONNX file needs onnxruntime, which is not installed: {remedy('onnx')}") from error
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]

    def run(*inputs: Tensor) -> Tensor:
        given = dict(zip(names, (one.numpy() for one in inputs), strict=True))
        return torch.from_numpy(session.run(None, given)[0])

    return run


def check_packages(to: str) -> None:
    """Refuse a format that needs what is not there.

    Raises:
        RQLError: if a package is not installed.
    """
    if to != "onnx":
        return
    for package in ONNX_PACKAGES:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise RQLError(f"--to onnx needs {package}, which is not installed: {remedy('onnx')}") from error


def _torchscript(module: nn.Module, example: Inputs) -> bytes:
    content = io.BytesIO()
    traced = torch.jit.trace(module, example)  # type: ignore[no-untyped-call]
    torch.jit.save(torch.jit.freeze(traced), content)
    return content.getvalue()


def _program(module: nn.Module, example: Inputs) -> torch.export.ExportedProgram:
    batch = torch.export.Dim("batch", min=1)
    return torch.export.export(module, example, dynamic_shapes=tuple({0: batch} for _ in example), strict=False)


def _torch_export(module: nn.Module, example: Inputs) -> bytes:
    content = io.BytesIO()
    torch.export.save(_program(module, example), content)
    return content.getvalue()


def _onnx(module: nn.Module, example: Inputs) -> bytes:
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # of packages for images, which are not needed
    try:
        given = [INPUT, PROPOSALS][: len(example)]
        names: Any = {
            "input_names": given,
            "output_names": [OUTPUT],
            "dynamic_shapes": tuple({0: "batch"} for _ in given),
        }
        program = torch.onnx.export(_program(module, example), **names, dynamo=True, verbose=False)
    finally:
        logging.disable(before)
    assert program is not None
    return bytes(program.model_proto.SerializeToString())


_WRITERS: dict[str, Callable[[nn.Module, Inputs], bytes]] = {
    "torchscript": _torchscript,
    "torch.export": _torch_export,
    "onnx": _onnx,
}


def _inputs(saved: SavedAgent) -> dict[str, Tensor]:
    """Inputs of the exported policy: observations as the agent has in its data, (CHECKED, obs_dim), and proposals."""
    draws = torch.Generator().manual_seed(0)
    normalizer: Normalizer = saved.state.normalizer
    obs = normalizer.mean + normalizer.std * torch.randn((CHECKED, saved.spaces.obs_dim), generator=draws)
    if saved.prior is None or saved.prior.module is not None:
        return {INPUT: obs}
    shape = CHECKED, asked_for(saved.config)[0], saved.decided.width
    return {INPUT: obs, PROPOSALS: 2.0 * torch.rand(shape, generator=draws) - 1.0}


def _disagreements(saved: SavedAgent, which: str, inputs: dict[str, Tensor], action: Tensor) -> int:
    """At how many observations the actions (B, …) of the environment are not those of the agent.

    Where two candidates have the same score up to rounding, either is right: the order of a sum decides.
    """
    policy, obs = saved.agent.policies[which], inputs[INPUT]
    proposed = {name: one for name, one in inputs.items() if name == PROPOSALS}
    if saved.prior is not None and not proposed:
        asked = (*asked_for(saved.config), prior_draws(0), EVALUATION)
        proposed = Proposer(saved.prior, saved.spaces, *asked).given(obs)
    given = torch.from_numpy(np.asarray(saved.decided.from_env(action.numpy())))
    right = _distance(policy.act(saved.state, obs, proposed, True), given) <= TOLERANCE
    if policy.ranking is not None:
        ranked = policy.ranking(saved.state, obs, proposed)
        best = ranked.log_weight.amax(-1, keepdim=True)
        slack = ROUNDING * (1.0 + ranked.log_weight.abs().amax(-1, keepdim=True))
        as_good = ranked.log_weight >= best - slack
        right |= (as_good & (_distance(ranked.actions, given.unsqueeze(1)) <= TOLERANCE)).any(-1)
    return int((~right).sum())


def _distance(one: Tensor, other: Tensor) -> Tensor:
    """The distance between actions, (…, d) for continuous ones and (…,) for indices: (…,)."""
    difference = (one - other).abs()
    return difference.amax(-1) if difference.is_floating_point() else difference
