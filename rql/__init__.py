"""Residual Q-learning: clone a policy from demonstrations, learn where deviating from it pays, finetune online."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rql.agents.loading import Policy, load_policy
    from rql.commands.evaluate import evaluate
    from rql.commands.train import TrainedRun, train
    from rql.utils.errors import RQLError

from rql.config.registry import register

__version__ = "0.1.0"
__all__ = ["Policy", "RQLError", "TrainedRun", "evaluate", "load_policy", "register", "train"]

_MODULES = {
    "Policy": "rql.agents.loading",
    "RQLError": "rql.utils.errors",
    "TrainedRun": "rql.commands.train",
    "evaluate": "rql.commands.evaluate",
    "load_policy": "rql.agents.loading",
    "train": "rql.commands.train",
}
"""Imported when they are asked for, so that the command line need not wait for torch."""


def __getattr__(name: str) -> Any:
    """A name of `__all__`."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
