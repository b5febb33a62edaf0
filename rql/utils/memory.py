"""Refusing what does not fit into memory before it is built, by the name of the component and its size."""

import os
from typing import Any

import torch

from rql.utils.errors import ConfigError


def require_memory(field: str, value: Any, what: str, size: int, device: torch.device) -> None:
    """Check that the device gives the `size` bytes that `what` takes, which the setting `field` decides.

    Raises:
        ConfigError: if it does not.
    """
    available = _available(device)
    try:
        if size <= available:
            torch.empty(size, dtype=torch.uint8, device=device)
            return
        had = f"and {device} has {available / 1e9:,.1f} GB"
    except (RuntimeError, MemoryError):  # torch says that memory is short by a RuntimeError
        had = f"which {device} does not give"
    raise ConfigError(field, value, f"less: {what} takes {size / 1e9:,.1f} GB, {had}")


def _available(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
