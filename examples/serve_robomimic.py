"""Serve a policy of robomimic to `prior=process`: one that takes numbers, without pictures and goals.

    python serve_robomimic.py trained/models/model_epoch_100.pth

Copy this file and serve_policy.py to where robomimic is installed. A flat observation is cut into the keys of the
policy in the order of the checkpoint, or as `--split` says. What a policy remembers of an episode, the hidden state of
a recurrent network say, is kept for each slot.
"""

from serve_policy import History, Split, serve  # first of all, for it takes the standard output

# isort: split

import argparse
import copy
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import robomimic.utils.file_utils as files
import torch
from robomimic.algo import Algo


class Policies:
    """A policy, and where it has a memory a copy of it for each slot."""

    def __init__(self, path: Path, device: str, places: list[str]) -> None:
        """Load it."""
        self._policy, checkpoint = files.policy_from_checkpoint(device=torch.device(device), ckpt_path=str(path))
        config, _ = files.config_from_checkpoint(ckpt_dict=checkpoint)
        shapes = checkpoint["shape_metadata"]["all_shapes"]
        self.split = Split({key: shape[0] for key, shape in shapes.items()}, places)
        self.name = checkpoint["algo_name"]
        self._policy.start_episode()
        self._recurrent = type(self._policy.policy).reset is not Algo.reset
        self._copies: dict[int, Any] = {}
        self._steps = config.train.get("frame_stack", 1)
        self._history = History(self._steps)
        self.remembers = self._recurrent or self._steps > 1

    def reset(self, slots: Any) -> None:
        """An episode begins in these slots."""
        self._history.reset(slots)
        for slot in slots.tolist():
            if slot in self._copies:
                self._copies[slot].start_episode()

    def sample(self, obs: Any, n: int, seed: int, slots: Any) -> Any:
        """n actions at each observation, (B, n, d); all the same where it has a memory, which holds one."""
        torch.manual_seed(seed)
        seen = self._history.add(obs, slots) if self._steps > 1 else obs
        draws = 1 if self._recurrent else n
        found = []
        for one, slot in zip(seen, slots.tolist(), strict=True):
            policy = self._of(slot)
            found.append([policy(self.split(one)) for _ in range(draws)])  # it changes the dictionary that it gets
        return np.repeat(found, n // draws, axis=1)

    def _of(self, slot: int) -> Any:
        if not self._recurrent:
            return self._policy
        if slot not in self._copies:
            self._copies[slot] = copy.deepcopy(self._policy)
        return self._copies[slot]


def main() -> None:
    """Serve what the command line names."""
    parser = argparse.ArgumentParser(description="Serve a policy of robomimic to prior=process.")
    parser.add_argument("checkpoint", type=Path, help="a .pth that robomimic wrote")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--split", nargs="*", default=[], metavar="KEY=START:STOP", help="where each key stands in an observation"
    )
    args = parser.parse_args()
    policies = Policies(args.checkpoint, args.device, args.split)
    zeros, slot = np.zeros((1, policies.split.obs_dim), np.float32), np.array([-1])
    tried = []
    for seed in range(2):
        policies.reset(slot)
        tried.append(policies.sample(zeros, 1, seed, slot))
    serve(
        policies.sample,
        reset=policies.reset if policies.remembers else None,
        name=f"{policies.name} of {args.checkpoint}",
        stochastic=not np.array_equal(*tried),
        digest=hashlib.sha256(args.checkpoint.read_bytes()).hexdigest(),
    )


if __name__ == "__main__":
    main()
