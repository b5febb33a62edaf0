"""Compiled updates: one graph that is compiled once, the same numbers, and a choice that a run keeps."""

import logging
import math
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from conftest import TINY, Cli, metrics_of, summary_of, without_times
from torch import Tensor

from rql.config.choices import Compile, Precision
from rql.config.explain import REQUEUE
from rql.data.batch import Batch
from rql.nn.linear import hidden_product
from rql.runs.interruption import Interruption
from rql.training import precision
from rql.training.compiled import CACHE_VARIABLE, _keep
from rql.training.execute import COMPILED_FROM, Executor
from rql.utils.errors import Preempted, RQLError

DEVICES = ["cpu", *["cuda"] * torch.cuda.is_available()]
NOTHING = torch.zeros(2)
BATCH = Batch(NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING)


def breaking(state: Tensor, batch: Batch, noise: Any, hparams: Any) -> tuple[Tensor, dict[str, Tensor]]:
    """An update whose tracing stops where it looks at a number."""
    return state + (1.0 if float(state.sum()) >= 0.0 else -1.0), {}


def test_an_update_that_cannot_be_compiled_is_executed_as_it_is_or_refused(caplog: Any) -> None:
    executor = Executor([breaking], Compile.auto, Precision.auto, COMPILED_FROM)
    with caplog.at_level(logging.WARNING):
        state, _ = executor.update(0, torch.zeros(2), BATCH, {}, ())
    assert state.tolist() == [1.0, 1.0] and "updates are not compiled: " in caplog.text
    assert executor.saved_state()["compiled"] is False and executor.compile_seconds == 0.0
    with pytest.raises(RQLError, match="compile=on: an update cannot be compiled: "):
        Executor([breaking], Compile.on, Precision.auto, 1).update(0, torch.zeros(2), BATCH, {}, ())


def test_an_error_of_the_update_is_its_own() -> None:
    def wrong(state: Tensor, batch: Batch, noise: Any, hparams: Any) -> tuple[Tensor, dict[str, Tensor]]:
        return state + noise["missing"], {}

    with pytest.raises(KeyError, match="missing"):
        Executor([wrong], Compile.on, Precision.auto, 1).update(0, torch.zeros(2), BATCH, {}, ())


def test_long_stages_are_compiled_and_a_run_that_goes_on_keeps_what_it_did() -> None:
    short, long = (
        Executor([breaking], Compile.auto, Precision.auto, updates) for updates in (COMPILED_FROM - 1, COMPILED_FROM)
    )
    assert not short.compiled and long.compiled
    short.load(long.saved_state())
    assert short.compiled
    told = Executor([breaking], Compile.off, Precision.auto, COMPILED_FROM)
    told.load(long.saved_state())
    assert not told.compiled


def adding(state: Tensor, batch: Batch, noise: Any, hparams: Any) -> tuple[Tensor, dict[str, Tensor]]:
    return state + sum(noise.values()), {}


def test_a_term_that_comes_or_goes_is_compiled_and_timed_too() -> None:
    executor, seconds = Executor([adding], Compile.on, Precision.auto, 1), [0.0]
    for values in ([1.0], [1.0, 2.0], [3.0]):
        noise = {str(place): NOTHING + value for place, value in enumerate(values)}
        state, _ = executor.update(0, torch.zeros(2), BATCH, noise, ())
        assert state.tolist() == [sum(values)] * 2
        seconds.append(executor.compile_seconds)
    assert seconds[0] < seconds[1] < seconds[2] == seconds[3]


def first_sum() -> list[float]:
    """Of an executor that compiles."""
    executor = Executor([adding], Compile.on, Precision.auto, 1)
    state, _ = executor.update(0, torch.zeros(2), BATCH, {"0": NOTHING + 1.0}, ())
    found: list[float] = state.tolist()
    return found


def test_another_process_loads_what_was_compiled_and_needs_no_compiler() -> None:
    assert first_sum() == [1.0, 1.0]
    code = f"import sys, torch, test_execute as t; torch.set_num_threads({torch.get_num_threads()}); "
    code += "print(t.first_sum(), 'torch._inductor' in sys.modules)"
    paths = os.pathsep.join([*(str(Path(__file__).parents[up]) for up in (0, 1)), *sys.path])
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == "[1.0, 1.0] False"


def test_what_nobody_loaded_for_long_is_forgotten_when_something_new_is_kept(tmp_path: Path, monkeypatch: Any) -> None:
    assert first_sum() == [1.0, 1.0]
    cache = shutil.copytree(Path(os.environ[CACHE_VARIABLE]) / "updates", tmp_path / "updates")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    (cache / "other").mkdir(exist_ok=True)
    (cache / "other" / "library.so").touch()
    long_ago = time.time() - 91 * 86_400
    for library in cache.glob("*/*.so"):
        os.utime(library, (long_ago, long_ago))
    assert first_sum() == [1.0, 1.0]  # which loads one of them
    (loaded,) = (library for library in cache.glob("*/*.so") if library.stat().st_mtime > long_ago + 1.0)
    _keep(cache / "new", b"code")
    assert {folder.name for folder in cache.iterdir()} == {loaded.parent.name, "new"}
    assert [path.read_bytes() for path in (cache / "new").iterdir()] == [b"code"]


class Pair(NamedTuple):
    a: Tensor
    b: Tensor


def swapping(state: Pair, batch: Batch, noise: Any, hparams: Any) -> tuple[Pair, dict[str, Tensor]]:
    return Pair(state.b, state.a + 1.0), {"a": state.a, "b": state.b.detach()}


@pytest.mark.parametrize("device", DEVICES)
def test_compiled_updates_overwrite_a_copy_of_the_state_and_give_numbers_that_stay(device: str) -> None:
    executor, first = (
        Executor([swapping], Compile.on, Precision.auto, 1),
        Pair(*torch.tensor([1.0, 10.0], device=device)),
    )
    state, metrics = first, []
    for number in range(3):
        state, found = executor.update(number, state, BATCH, {}, ())
        metrics.append(found)
    assert [[float(value) for value in found.values()] for found in metrics] == [[1, 10], [10, 2], [2, 11]]
    assert [float(value) for value in state] == [11.0, 3.0] and [float(value) for value in first] == [1.0, 10.0]
    state, _ = executor.update(3, state._replace(a=torch.tensor(5.0, device=device)), BATCH, {}, ())
    assert [float(value) for value in state] == [3.0, 6.0]


def deep(state: Tensor, batch: Batch, noise: Any, hparams: Any) -> tuple[Tensor, dict[str, Tensor]]:
    """A product of hidden units, the state, with others that are as many."""
    return hidden_product(state, noise["other"]).float(), {}


def test_large_products_are_in_bfloat16_where_that_is_faster_and_a_run_that_goes_on_keeps_to_it(
    monkeypatch: Any,
) -> None:
    monkeypatch.setattr(precision, "FASTER_BY", 0.0)
    executor = Executor([deep], Compile.on, Precision.auto, 1)
    assert executor.saved_state()["bf16"] is None
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.randn(256, 256, generator=generator) for _ in range(2))
    found, _ = executor.update(0, one, BATCH, {"other": other}, ())
    torch.testing.assert_close(found, (one.bfloat16() @ other.bfloat16()).float(), rtol=2**-7, atol=1e-3)
    assert torch.equal(found, found.bfloat16().float())
    assert executor.saved_state() == {"compiled": True, "bf16": True}
    resumed = Executor([deep], Compile.on, Precision.auto, 1)
    resumed.load(executor.saved_state())
    assert resumed.hidden == executor.hidden
    told = Executor([deep], Compile.on, Precision.float32, 1)
    told.load({"compiled": True, "bf16": True})
    assert told.hidden == torch.float32


def test_products_that_are_small_or_no_faster_are_not_in_bfloat16(monkeypatch: Any) -> None:
    monkeypatch.setattr(precision, "FASTER_BY", 0.0)
    shapes = (torch.Size([256, width]) for width in (181, 182))
    small, large = ((rows, torch.Size([rows[1], rows[1]])) for rows in shapes)
    device = torch.device("cpu")
    assert [precision.bfloat16_pays(products, device) for products in ([], [small], [small, large])] == [
        *(False, False, True)
    ]
    monkeypatch.setattr(precision, "FASTER_BY", math.inf)
    assert not precision.bfloat16_pays([large], device)


@pytest.mark.parametrize("hidden", ["float32", "bf16"])
@pytest.mark.parametrize("device", DEVICES)
def test_a_compiled_run_has_the_numbers_of_one_that_is_not_and_goes_on_exactly(
    cli: Cli, monkeypatch: Any, device: str, hidden: str
) -> None:
    small = ["network.actor.hidden=[8,8]", "agent=bc", "bc.updates=200", "tracking.log_every=10", "checkpoint.steps=40"]
    small += [f"device={device}", f"precision={hidden}"]
    plain = metrics_of(cli(*TINY, *small, "compile=off", name="plain"))
    directory = cli(*TINY, *small, "compile=on", name="compiled")
    compiled = metrics_of(directory)
    assert [line.keys() for line in compiled] == [line.keys() for line in plain]
    for one, other in zip(without_times(plain), without_times(compiled), strict=True):
        numbers = {key: value for key, value in one.items() if key not in ("stage", "step")}
        assert {key: other[key] for key in numbers} == pytest.approx(numbers, rel=1e-4 if hidden == "float32" else 0.2)
    assert summary_of(directory)["bc/precision"] == hidden
    seconds = [summary_of(directory.parent / name)["bc/compile_seconds"] for name in ("plain", "compiled")]
    assert seconds[0] == 0.0 < seconds[1]
    checks = [0]

    def check(self: Interruption) -> None:
        checks[0] += 1
        if checks[0] == 100:
            raise Preempted("SIGTERM")

    with monkeypatch.context() as patch:
        patch.setattr(Interruption, "check", check)
        with pytest.raises(SystemExit) as stop:
            cli(*TINY, *small, "compile=on", name="cut off")
    assert stop.value.code == REQUEUE
    assert without_times(metrics_of(cli(*TINY, *small, "compile=on", name="cut off"))) == without_times(compiled)
