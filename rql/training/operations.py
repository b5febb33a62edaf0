"""The operations that an update is made of, by which a compiled one is found again.

Tracing an update for Inductor takes imports of several seconds. To see that its operations are those of another process
takes running it once.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from rql.agents.base import Update
from rql.utils.tree import leaves_of, map_leaves

PRODUCTS = {torch.ops.aten.mm.default, torch.ops.aten.bmm.default}

Factors = tuple[torch.Size, torch.Size]
"""The shapes of what is multiplied."""


class Operations(NamedTuple):
    """What an update does with its arguments, whatever numbers these hold."""

    digest: str
    """The same for the same operations on tensors of the same shapes, with the same constants."""
    metrics: tuple[str, ...]
    """The names of the metrics, in their order."""
    bfloat16_products: tuple[Factors, ...]
    """Matrix products in bfloat16."""


def tensors_of(*trees: Any) -> list[Tensor]:
    """The tensors of trees, in their order."""
    return [leaf for leaf in leaves_of(trees) if leaf is not None]


def operations_of(update: Update[Any], *arguments: Any) -> Operations:
    """The operations of an update for arguments like the (state, batch, noise, hparams) of the calls to come."""
    arguments = map_leaves(lambda leaf: leaf if leaf is None else leaf.clone(), arguments)  # that share no memory
    recorder = _Recorder(tensors_of(*arguments))
    with recorder:
        state, metrics = update(*arguments)
    recorder.note("results", tensors_of(state, *metrics.values()), list(metrics))
    return Operations(recorder.digest.hexdigest(), tuple(metrics), tuple(recorder.products))


def _memory(tensor: Tensor) -> Any:
    return StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]


def _content(tensor: Tensor) -> str:
    """The digest of all the memory that a tensor is a part of."""
    memory = torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(tensor.detach().untyped_storage())
    return hashlib.sha256(memory.cpu().numpy().tobytes()).hexdigest()


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Takes down each operation, with the memory that it reads and writes numbered in the order of its appearance."""

    def __init__(self, arguments: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.digest, self.products = hashlib.sha256(), list[Factors]()
        self._numbers: dict[Any, int] = {}  # by weak references, which keep an address from being used again
        self._number(arguments)
        self.note("arguments", arguments)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do what is asked, and take it down."""
        self.note(str(func), args, kwargs)
        if func in PRODUCTS and args[0].dtype == torch.bfloat16:
            self.products.append((args[0].shape, args[1].shape))
        result = func(*args, **(kwargs or {}))
        self._number(result if isinstance(result, (tuple, list)) else [result])
        return result

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # True, as it is by default, imports the compiler

    def note(self, name: str, *values: Any) -> None:
        """Take down what was done with what."""
        self.digest.update(f"{name} {self._described(values)}\n".encode())

    def _number(self, values: Sequence[Any]) -> None:
        for value in values:
            if isinstance(value, Tensor):
                self._numbers.setdefault(_memory(value), len(self._numbers))

    def _described(self, value: Any) -> str:
        if isinstance(value, Tensor):
            return self._place(value)
        if isinstance(value, (tuple, list)):
            return f"[{', '.join(map(self._described, value))}]"
        if isinstance(value, dict):
            return self._described([*value, *value.values()])
        return repr(value)

    def _place(self, tensor: Tensor) -> str:
        number, content = self._numbers.get(_memory(tensor)), ""
        if number is None:  # a constant, which compiled code holds
            self._number([tensor])
            number, content = self._numbers[_memory(tensor)], _content(tensor)
        layout = tensor.storage_offset(), list(tensor.shape), tensor.stride(), tensor.is_conj(), tensor.is_neg()
        return f"{number} {content} {tensor.dtype} {layout} {tensor.device}"
