"""Serve a policy to `prior=process`: copy this file beside it, into any Python from 3.8 on. It needs numpy and no more.

    from serve_policy import serve  # first of all, for it takes the standard output

    serve(lambda obs, n, seed, slots: my_policy(obs)[:, None, :], name="my policy")

`obs` is (B, obs_dim) float32; the answer holds n actions of the environment for each, (B, n, d). Run by itself, this
file serves actions that are all 0, of as many dimensions as it is told: `python serve_policy.py 6`. `Split` is for a
policy that takes a dictionary, and `History` for one that takes the last few observations.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what a policy prints, while it is loaded too, must not come between the answers


def serve(
    sample: Callable[[Any, int, int, Any], Any],
    reset: Callable[[Any], None] | None = None,
    name: str = "a policy",
    stochastic: bool = False,
    digest: str = "",
    chunk: int = 1,
) -> None:
    """Answer requests until there are no more.

    Args:
        sample: (obs (B, obs_dim), n, seed, slots (B,)) → actions (B, n, d) in the environment's units, or (B, n, h, d)
            of a `chunk` h.
        reset: called with the slots in which an episode begins, before their first observations; None where no action
            depends on earlier observations.
        name: what a run calls it.
        stochastic: whether two actions in one state may differ.
        digest: of the weights; what was found with one is not used with another.
        chunk: h, the actions of a proposal, to be made one after the other.
    """
    _say(protocol=1, name=name, stochastic=stochastic, stateful=reset is not None, digest=digest, chunk=chunk)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "reset" in request:
                if reset is not None:
                    reset(np.array(request["reset"]))
                _say()
            else:
                asked = request["sample"]
                obs, slots = np.array(asked["obs"], np.float32), np.array(asked["slots"])
                _say(actions=np.asarray(sample(obs, asked["n"], asked["seed"], slots)).tolist())
        except Exception as error:  # the run has to know
            _say(error=f"{type(error).__name__}: {error}")


class Split:
    """Cuts flat observations (…, obs_dim) into the pieces of a policy that takes a dictionary."""

    def __init__(self, sizes: dict[str, int], places: Sequence[str] = ()) -> None:
        """`sizes` says how many numbers each piece has. They stand one after the other, or where `places` says for
        each: "KEY=START:STOP", counted from 0 and without the number at STOP; two may share numbers.
        """
        self._sizes, self._whole = sizes, not places
        self._spans, self.obs_dim = {}, 0
        for key, size in sizes.items():
            self._spans[key] = slice(self.obs_dim, self.obs_dim + size)
            self.obs_dim += size
        if places:
            self._spans = {
                key: slice(*map(int, span.split(":"))) for key, _, span in (p.rpartition("=") for p in places)
            }
            self.obs_dim = max(span.stop for span in self._spans.values())
        if {key: span.stop - span.start for key, span in self._spans.items()} != sizes:
            raise ValueError(f"the policy takes {sizes}, and not {', '.join(places)}")

    def __call__(self, obs: Any) -> dict[str, Any]:
        """The pieces by name, each (…, its size)."""
        dim = obs.shape[-1]
        if dim < self.obs_dim or (self._whole and dim > self.obs_dim):
            raise ValueError(f"the policy takes {self._sizes}, and not observations of {dim} numbers")
        return {key: obs[..., span] for key, span in self._spans.items()}


class History:
    """The newest observations of each slot. Before the first of an episode stand copies of it."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._seen: dict[int, list[Any]] = {}

    def reset(self, slots: Any) -> None:
        """An episode begins in these slots."""
        for slot in slots.tolist():
            self._seen.pop(slot, None)

    def add(self, obs: Any, slots: Any) -> Any:
        """Observations (B, obs_dim) with those before them, the oldest first: (B, length, obs_dim)."""
        found = []
        for index, slot in enumerate(slots.tolist()):
            seen = self._seen.get(slot, [obs[index]] * self._length)
            self._seen[slot] = [*seen[1:], obs[index]]
            found.append(self._seen[slot])
        return np.array(found)


def _say(**answer: Any) -> None:
    ANSWERS.write(json.dumps(answer) + "\n")
    ANSWERS.flush()


if __name__ == "__main__":
    dims = int(sys.argv[1])
    serve(lambda obs, n, seed, slots: np.zeros((len(obs), n, dims)), name=f"{dims} zeros")
