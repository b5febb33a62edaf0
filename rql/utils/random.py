"""Random numbers: each use has a stream of its own, so that none disturbs another."""

import zlib

import numpy as np
import torch


def stream_seed(seed: int, use: str) -> int:
    """A seed for one use of random numbers in the run with this seed, below 2³¹."""
    return int(np.random.SeedSequence([seed, zlib.crc32(use.encode())]).generate_state(1)[0] >> 1)


def generator(seed: int, use: str, device: torch.device) -> torch.Generator:
    """A generator for one use of random numbers."""
    return torch.Generator(device).manual_seed(stream_seed(seed, use))
