"""Settings of the processor and of the memory that suit the training of small networks."""

import ctypes
import platform

import torch

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1
"""Of glibc's mallopt: the size from which memory comes from the system, and how much is kept when it is given back."""
LARGEST, KEPT = 32 << 20, 1 << 30
"""Bytes."""


def prepare_processor(threads: int) -> None:
    """Let this process work with so many threads, count numbers below 1e-38 as 0, and keep the memory it had.

    The moments of weights that no longer get a gradient shrink to such numbers, with which processors are many
    times slower. Memory that goes back to the system after each update has to be cleared by it for the next.
    """
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(MMAP_THRESHOLD, LARGEST)
        libc.mallopt(TRIM_THRESHOLD, KEPT)
