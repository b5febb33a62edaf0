"""An update as machine code: traced to the operations that it is made of, which Inductor compiles.

On a processor the code is a library that stays in the user's cache, by its operations: whoever makes the same ones
loads it, without a tracer or a compiler.
"""

import hashlib
import logging
import os
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx

from rql.agents.base import Update
from rql.training.operations import Operations, tensors_of
from rql.utils.files import user_cache
from rql.utils.processor import instruction_set
from rql.utils.tree import leaves_of, map_leaves

OPTIONS: dict[str, Any] = {
    "cpp.enable_tiling_heuristics": False,  # which leave loops over three action dimensions to scalar code
    "cpp.enable_floating_point_contract_flag": "fast",  # a product and a sum in one instruction, rounded once
    "aot_inductor.enable_line_tables": False,  # for debuggers; two thirds of a library
}
CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"
COMPILING = "compiling an update; it takes about twenty seconds, and no time where it was compiled before"
logger = logging.getLogger(__name__)


class CompiledUpdate:
    """An update as one call. It overwrites the state that it is given."""

    def __init__(self, update: Update[Any], operations: Operations, *arguments: Any) -> None:
        """Compile an update for arguments like these, or load what was compiled of the same operations."""
        if any(tensor.is_cuda for tensor in tensors_of(*arguments)):
            self._run = _in_process(update, *arguments)
        else:
            library = _library(operations)
            if not library.exists():
                _build(library, update, *arguments)
            self._run = torch._C._aoti.AOTIModelContainerRunnerCpu(str(library), 1).run

    def __call__(self, state: Sequence[Tensor], others: Sequence[Tensor]) -> Tensor | None:
        """Overwrite the tensors of the state; the metrics, (n,), if there are any."""
        values: list[Tensor] = self._run([*state, *others])
        return values[0] if values else None


def trace(update: Update[Any], *arguments: Any) -> fx.GraphModule:
    """The operations of an update for arguments like the (state, batch, noise, hparams) of the calls to come.

    They overwrite the tensors of the state, which come first, and give the metrics, [(n,)].
    """
    from torch.fx.experimental.proxy_tensor import make_fx

    def flat(*tensors: Tensor) -> list[Tensor]:
        given = iter(tensors)
        state, *others = map_leaves(lambda leaf: leaf if leaf is None else next(given), arguments)
        following, metrics = update(state, *others)
        values = [value.detach().float() for value in metrics.values()]
        values = [torch.stack(values)] if values else []
        _overwrite(leaves_of(state), leaves_of(following))
        return values

    apart = [tensor.clone() for tensor in tensors_of(*arguments)]  # one that is there twice would be seen once
    with torch.no_grad():
        return make_fx(flat, tracing_mode="fake", _allow_non_fake_inputs=True)(*apart)


def _library(operations: Operations) -> Path:
    """Where the machine code of these operations lies, for this machine and this version of torch."""
    os.environ.setdefault(CACHE_VARIABLE, str(user_cache("rql-compiled")))
    made_for = operations.digest, torch.__version__, torch.get_num_threads(), instruction_set(), sorted(OPTIONS.items())
    return Path(os.environ[CACHE_VARIABLE]) / "updates" / f"{hashlib.sha256(repr(made_for).encode()).hexdigest()}.so"


def _build(library: Path, update: Update[Any], *arguments: Any) -> None:
    """Compile an update to a library."""
    import torch._inductor

    logger.info(COMPILING)
    graph = trace(update, *arguments)
    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent) as folder, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore", FutureWarning)  # of torch about itself
        options = _known({**OPTIONS, "aot_inductor.output_path": str(Path(folder) / "update.so")})
        made = torch._inductor.aot_compile(graph, tuple(tensors_of(*arguments)), options=options)
        Path(str(made)).replace(library)


def _in_process(update: Update[Any], *arguments: Any) -> Any:
    """Compile an update for a GPU, where it will be recorded and not called again."""
    import torch._inductor

    logger.info(COMPILING)
    tensors: list[Any] = list(tensors_of(*arguments))
    with torch.no_grad():
        run: Any = torch._inductor.compile(trace(update, *arguments), tensors, options=_known(OPTIONS))
    return lambda tensors: run(*tensors)


def _known(options: dict[str, Any]) -> dict[str, Any]:
    """The options that this version of torch has; another would be an error."""
    known = torch._inductor.config.get_config_copy()
    return {name: value for name, value in options.items() if name in known}


def _overwrite(before: Sequence[Tensor], after: Sequence[Tensor]) -> None:
    """Write a state over the one before."""
    memory = {tensor.untyped_storage()._cdata for tensor in before}
    changed = [(old, new) for old, new in zip(before, after, strict=True) if new is not old]
    # what is a part of the state before is copied while it is still what it was
    apart = [new.clone() if new.untyped_storage()._cdata in memory else new for _, new in changed]
    for (old, _), new in zip(changed, apart, strict=True):
        old.copy_(new)
