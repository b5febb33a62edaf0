"""Serve a policy of LeRobot to `prior=process`: ACT, diffusion, or another that takes numbers and no pictures.

    python serve_lerobot.py outputs/train/checkpoints/last/pretrained_model

Copy this file and serve_policy.py to where LeRobot 0.4 is installed. A flat observation is cut into the inputs of the
policy in the order of its config.json, or as `--split` says. Chunks are proposed, as the policy predicts them.
"""

from serve_policy import History, Split, serve  # first of all, for it takes the standard output

# isort: split

import argparse
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lerobot.configs.policies import PreTrainedConfig
from lerobot.policies.factory import get_policy_class, make_pre_post_processors
from lerobot.policies.utils import populate_queues


class Chunks:
    """A saved policy as it was trained: with its normalisation, and on a device."""

    def __init__(self, folder: Path, device: str, places: list[str], longest: int | None) -> None:
        """Of each chunk the first `longest` actions are given, or all."""
        self.config = PreTrainedConfig.from_pretrained(folder)
        self.config.device = device
        self._policy = get_policy_class(self.config.type).from_pretrained(folder, config=self.config)
        on_device = {"device_processor": {"device": device}}
        self._before, self._after = make_pre_post_processors(self.config, str(folder), preprocessor_overrides=on_device)
        self.split = Split({key: one.shape[0] for key, one in self.config.input_features.items()}, places)
        self._longest = longest

    def __call__(self, seen: Any, n: int, seed: int) -> Any:
        """n chunks for each of the newest observations (B, n_obs_steps, obs_dim): (B, n, h, d)."""
        torch.manual_seed(seed)
        self._policy.reset()
        for obs in np.repeat(seen, n, axis=0).swapaxes(0, 1):
            pieces = {key: torch.from_numpy(piece) for key, piece in self.split(obs).items()}
            ready = self._before(pieces)
            inputs = {key: ready[key] for key in pieces}
            populate_queues(getattr(self._policy, "_queues", {}), inputs)  # as select_action does, but for its actions
        chunks = self._after(self._policy.predict_action_chunk(inputs)).numpy()
        return chunks.reshape(len(seen), n, *chunks.shape[1:])[:, :, : self._longest]


def digest_of(folder: Path) -> str:
    """One of all that decides what the policy proposes: weights, settings and normalisation."""
    found = hashlib.sha256()
    for path in sorted(one for one in folder.iterdir() if one.suffix in {".safetensors", ".json"}):
        found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()


def main() -> None:
    """Serve what the command line names."""
    parser = argparse.ArgumentParser(description="Serve a policy of LeRobot to prior=process.")
    parser.add_argument("folder", type=Path, help="what save_pretrained wrote, with the processors")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--chunk", type=int, help="the actions of a chunk that are proposed; all if left out")
    parser.add_argument(
        "--split", nargs="*", default=[], metavar="KEY=START:STOP", help="where each input stands in an observation"
    )
    args = parser.parse_args()
    chunks = Chunks(args.folder, args.device, args.split, args.chunk)
    steps = chunks.config.n_obs_steps
    history = History(steps)
    tried = [chunks(np.zeros((1, steps, chunks.split.obs_dim), np.float32), 1, seed) for seed in range(2)]
    length = tried[0].shape[2]

    def sample(obs: Any, n: int, seed: int, slots: Any) -> Any:
        seen = history.add(obs, slots) if steps > 1 else obs[:, None]
        found = chunks(seen, n, seed)
        return found if length > 1 else found[:, :, 0]

    serve(
        sample,
        reset=history.reset if steps > 1 else None,
        name=f"{chunks.config.type} of {args.folder}",
        stochastic=not np.array_equal(*tried),
        digest=digest_of(args.folder),
        chunk=length,
    )


if __name__ == "__main__":
    main()
