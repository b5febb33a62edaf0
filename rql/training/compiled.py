"""An update as machine code: traced to the operations that it is made of, which Inductor compiles.

On a processor the code is a library that stays in the user's cache, by its operations: whoever makes the same ones
loads it, without a tracer or a compiler.
"""

import hashlib
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx

from rql.agents.base import Update
from rql.training.operations import Operations, tensors_of
from rql.utils.files import user_cache, write_atomically
from rql.utils.processor import instruction_set
from rql.utils.tree import leaves_of, map_leaves

OPTIONS: dict[str, Any] = {
    "cpp.enable_tiling_heuristics": False,  # which leave loops over three action dimensions to scalar code
    "cpp.enable_floating_point_contract_flag": "fast",  # a product and a sum in one instruction, rounded once
    "aot_inductor.enable_line_tables": False,  # for debuggers; two thirds of a library
}
CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"
KEPT_DAYS = 90
"""After which a library that nobody loaded is removed when another comes."""
SETTINGS = ("TORCHINDUCTOR_", "AOT_INDUCTOR_", "ATEN_CPU_CAPABILITY")
"""How the names of environment variables begin that change what is compiled."""
logger = logging.getLogger(__name__)

Run = Callable[[list[Tensor]], list[Tensor]]
"""A call of machine code: it overwrites the tensors of the state, which come first, and gives the metrics, [(n,)]."""


class CompiledUpdate:
    """An update as one call. It overwrites the state that it is given."""

    def __init__(self, update: Update[Any], operations: Operations, *arguments: Any) -> None:
        """Compile an update for arguments like these, or load what was compiled of the same operations."""
        os.environ.setdefault(CACHE_VARIABLE, str(user_cache("rql-compiled")))
        tensors = tensors_of(*arguments)
        if tensors[0].is_cuda:
            self._run = _in_process(update, *arguments)
            return
        kept = Path(os.environ[CACHE_VARIABLE]) / "updates" / _key(operations)
        self._run = _kept(kept, tensors) or _made(kept, update, *arguments)

    def __call__(self, state: Sequence[Tensor], others: Sequence[Tensor]) -> Tensor | None:
        """Overwrite the tensors of the state; the metrics, (n,), if there are any."""
        values = self._run([*state, *others])
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


def _key(operations: Operations) -> str:
    """Of machine code for these operations, this machine and this version of torch."""
    settings = sorted((name, value) for name, value in os.environ.items() if name.startswith(SETTINGS))
    settings = [setting for setting in settings if setting[0] != CACHE_VARIABLE]
    version = torch.__version__, torch.version.git_version, hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    made_for = operations.digest, version, settings, torch.get_num_threads(), instruction_set()
    return hashlib.sha256(repr(made_for).encode()).hexdigest()


def _kept(folder: Path, tensors: Sequence[Tensor]) -> Run | None:
    """The call of a library that lies in this folder, if one does that was written whole and is of use here."""
    for library in _whole_libraries(folder):
        try:
            run = _loaded(library, tensors)
        except RuntimeError as error:  # of another system's C++ library, for instance
            logger.info("%s cannot be loaded: %s", library, error)
            continue
        with suppress(OSError):  # of a cache that may only be read
            library.touch()
        return run
    return None


def _whole_libraries(folder: Path) -> Iterator[Path]:
    """Libraries whose name is the digest of their content; to load half of one would end the process."""
    for library in sorted(folder.glob("*.so")):
        if hashlib.sha256(library.read_bytes()).hexdigest() == library.stem:
            yield library


def _loaded(library: Path, tensors: Sequence[Tensor]) -> Run:
    """The call of a library, after a trial.

    Raises:
        RuntimeError: if it cannot be loaded, or fails.
    """
    run: Run = torch._C._aoti.AOTIModelContainerRunnerCpu(str(library), 1).run
    run([tensor.clone() for tensor in tensors])
    return run


def _made(folder: Path, update: Update[Any], *arguments: Any) -> Run:
    """Compile an update, and keep the library in a folder."""
    import torch._inductor

    logger.info("compiling an update; it takes about twenty seconds, and no time where it was compiled before")
    graph, tensors = trace(update, *arguments), tensors_of(*arguments)
    with tempfile.TemporaryDirectory() as aside, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore", FutureWarning)  # of torch about itself
        options = _known({**OPTIONS, "aot_inductor.output_path": str(Path(aside) / "update.so")})
        library = Path(str(torch._inductor.aot_compile(graph, tuple(tensors), options=options)))
        try:
            run = _loaded(library, tensors)
        except RuntimeError:  # an operation that libraries do not have
            return _in_process(update, *arguments)
        _keep(folder, library.read_bytes())
    return run


def _keep(folder: Path, content: bytes) -> None:
    """Put a library into a folder of the cache."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / f"{hashlib.sha256(content).hexdigest()}.so", content)
    except OSError as error:
        logger.warning("what was compiled is not kept for the next run: %s", error)
    with suppress(OSError):
        _forget(folder.parent)


def _forget(cache: Path) -> None:
    """Remove the libraries that were not loaded for long, and folders that are empty then."""
    oldest = time.time() - KEPT_DAYS * 86_400
    for library in cache.glob("*/*.so"):
        if library.stat().st_mtime < oldest:
            library.unlink(missing_ok=True)
            with suppress(OSError):  # it holds another
                library.parent.rmdir()


def _in_process(update: Update[Any], *arguments: Any) -> Run:
    """Compile an update for this process alone, as on a GPU, where it will be recorded and not called again."""
    import torch._inductor

    tensors: list[Any] = list(tensors_of(*arguments))
    with torch.no_grad():
        run: Any = torch._inductor.compile(trace(update, *arguments), tensors, options=_known(OPTIONS))
    return lambda given: list(run(*given))


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
