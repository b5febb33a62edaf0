"""Residual Q-learning: clone a policy from demonstrations, learn where deviating from it pays, finetune online."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rql.agents.loading import load_policy

__version__ = "0.1.0"
__all__ = ["load_policy"]


def __getattr__(name: str) -> Any:
    """What needs torch is imported when it is asked for."""
    if name == "load_policy":
        from rql.agents.loading import load_policy

        return load_policy
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
