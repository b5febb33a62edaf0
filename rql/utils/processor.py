"""Settings of the processor and of the memory that suit the training of small networks."""

import ctypes
import platform
from pathlib import Path

import torch

INSTRUCTIONS = (
    "abm",
    "adx",
    "aes",
    "amx",
    "asimd",
    "avx",
    "bf16",
    "bmi",
    "cx16",
    "f16c",
    "fma",
    "fp",
    "gfni",
    "i8mm",
    "movbe",
    "pclmul",
    "popcnt",
    "sha",
    "sse",
    "ssse",
    "sve",
    "vaes",
)
"""How flags of a processor begin that a compiler makes use of; others come and go with the system."""
MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1
"""Of glibc's mallopt: the size from which memory comes from the system, and how much is kept when it is given back."""
LARGEST, KEPT = 32 << 20, 1 << 30
"""Bytes."""


def instruction_set() -> str:
    """What machine code may use here; machine code for one processor can fail on another."""
    try:
        described = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    lines = (line.partition(":") for line in described.splitlines())
    found = next((value for name, _, value in lines if name.strip() in ("flags", "Features")), "")
    return f"{platform.machine()} {' '.join(sorted(flag for flag in found.split() if flag.startswith(INSTRUCTIONS)))}"


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
