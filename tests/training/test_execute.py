"""Compiled updates: one graph that is compiled once, the same numbers, and a choice that a run keeps."""

import logging
from typing import Any

import pytest
import torch
from conftest import TINY, Cli, metrics_of, summary_of, without_times
from torch import Tensor
from torch._dynamo import config as dynamo

from rql.config.choices import Compile
from rql.config.explain import REQUEUE
from rql.data.batch import Batch
from rql.runs.interruption import Interruption
from rql.training.execute import COMPILED_FROM, Executor, forget_compiled
from rql.utils.errors import Preempted, RQLError

DEVICES = ["cpu", *["cuda"] * torch.cuda.is_available()]
NOTHING = torch.zeros(2)
BATCH = Batch(NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING)


def breaking(state: Tensor, batch: Batch, noise: Any, hparams: Any) -> tuple[Tensor, dict[str, Tensor]]:
    """An update whose tracing stops where it looks at a number."""
    return state + (1.0 if float(state.sum()) >= 0.0 else -1.0), {}


def test_an_update_that_cannot_be_compiled_is_executed_as_it_is_or_refused(caplog: Any) -> None:
    executor = Executor([breaking], Compile.auto, COMPILED_FROM)
    with caplog.at_level(logging.WARNING):
        state, _ = executor.update(0, torch.zeros(2), BATCH, {}, ())
    assert state.tolist() == [1.0, 1.0] and "updates are not compiled: " in caplog.text
    assert executor.saved_state() is False and executor.compile_seconds == 0.0
    with pytest.raises(RQLError, match="compile=on: an update cannot be compiled: "):
        Executor([breaking], Compile.on, 1).update(0, torch.zeros(2), BATCH, {}, ())


def test_an_error_of_the_update_is_its_own() -> None:
    def wrong(state: Tensor, batch: Batch, noise: Any, hparams: Any) -> tuple[Tensor, dict[str, Tensor]]:
        return state + noise["missing"], {}

    with pytest.raises(KeyError, match="missing"):
        Executor([wrong], Compile.on, 1).update(0, torch.zeros(2), BATCH, {}, ())


def test_long_stages_are_compiled_and_a_run_that_goes_on_keeps_what_it_did() -> None:
    short, long = (Executor([breaking], Compile.auto, updates) for updates in (COMPILED_FROM - 1, COMPILED_FROM))
    assert not short.compiled and long.compiled
    short.load(long.saved_state())
    assert short.compiled
    told = Executor([breaking], Compile.off, COMPILED_FROM)
    told.load(True)
    assert not told.compiled


def adding(state: Tensor, batch: Batch, noise: Any, hparams: Any) -> tuple[Tensor, dict[str, Tensor]]:
    return state + sum(noise.values()), {}


def test_a_term_that_comes_or_goes_is_compiled_and_timed_too() -> None:
    executor, seconds = Executor([adding], Compile.on, 1), [0.0]
    for values in ([1.0], [1.0, 2.0], [3.0]):
        noise = {str(place): NOTHING + value for place, value in enumerate(values)}
        state, _ = executor.update(0, torch.zeros(2), BATCH, noise, ())
        assert state.tolist() == [sum(values)] * 2
        seconds.append(executor.compile_seconds)
    assert seconds[0] < seconds[1] < seconds[2] == seconds[3]


def test_many_runs_in_one_process_are_all_compiled() -> None:
    with dynamo.patch(recompile_limit=2):
        for size in (3, 4, 5, 6):
            forget_compiled()
            executor = Executor([adding], Compile.on, 1)
            state, _ = executor.update(0, torch.zeros(size), BATCH, {"a": torch.ones(size)}, ())
            assert state.tolist() == [1.0] * size


@pytest.mark.parametrize("device", DEVICES)
def test_a_compiled_run_has_the_numbers_of_one_that_is_not_and_goes_on_exactly(
    cli: Cli, monkeypatch: Any, device: str
) -> None:
    small = ["network.actor.hidden=[8]", "agent=bc", "bc.updates=200", "tracking.log_every=10", "checkpoint.steps=40"]
    small += [f"device={device}"]
    plain = metrics_of(cli(*TINY, *small, "compile=off", name="plain"))
    with dynamo.patch(error_on_recompile=True):
        directory = cli(*TINY, *small, "compile=on", name="compiled")
    compiled = metrics_of(directory)
    assert [line.keys() for line in compiled] == [line.keys() for line in plain]
    for one, other in zip(without_times(plain), without_times(compiled), strict=True):
        numbers = {key: value for key, value in one.items() if key not in ("stage", "step")}
        assert {key: other[key] for key in numbers} == pytest.approx(numbers, rel=1e-4)
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
