"""What a compiled update is found by: the same for the same operations, and another for any other."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rql.config.choices import Compile, Precision
from rql.training.execute import Executor
from rql.training.operations import operations_of

BATCH = torch.arange(6.0).view(2, 3)
Result = tuple[Tensor, dict[str, Tensor]]


def result_of(
    factor: float = 0.5,
    constant: float = 1.0,
    name: str = "size",
    function: Callable[[Tensor, Tensor], Tensor] = torch.sub,
    kept: Callable[[Tensor, Tensor], Tensor] = lambda new, _: new,
) -> Callable[..., Result]:
    """An update that frees memory of the size of a constant before it takes the constant."""

    def update(state: Tensor, batch: Tensor) -> Result:
        new = function(state * factor, batch)
        for _ in range(20):
            new = new + 1.0
        new = new + torch.full((2, 3), constant).clone().requires_grad_(False) + torch.tensor([constant] * 3)
        return kept(new, state), {name: new.sum()}

    return update


def digest(update: Callable[..., Result], state: Tensor | None = None) -> str:
    return operations_of(update, torch.ones(2, 3) if state is None else state, BATCH).digest


def test_numbers_of_the_arguments_make_no_difference() -> None:
    states = [torch.ones(2, 3), torch.zeros(2, 3), BATCH, torch.ones(4, 3)[1:3]]
    assert len({digest(result_of(), state) for state in states}) == 1


@pytest.mark.parametrize(
    "other",
    [
        result_of(factor=0.6),
        result_of(constant=2.0),
        result_of(name="another"),
        result_of(function=torch.add),
        result_of(function=lambda one, other: torch.sub(other, one)),
        result_of(kept=lambda new, state: state),
    ],
)
def test_another_number_constant_operation_or_result_is_another_update(other: Callable[..., Result]) -> None:
    assert digest(other) != digest(result_of())


@pytest.mark.parametrize("state", [torch.ones(2, 3).double(), torch.ones(1, 3), torch.ones(3, 2).T])
def test_another_type_shape_or_layout_is_another_update(state: Tensor) -> None:
    assert digest(result_of(), state) != digest(result_of())


def test_gradients_are_operations_too() -> None:
    def descended(power: int) -> Callable[..., Result]:
        def update(state: Tensor, batch: Tensor) -> Result:
            with torch.enable_grad():
                leaf = state.detach().requires_grad_()
                (gradient,) = torch.autograd.grad((leaf * batch).pow(power).sum(), leaf)
            return state - gradient, {}

        return update

    digests = [digest(descended(power)) for power in (2, 2, 3)]
    assert digests[0] == digests[1] != digests[2]


def doubled(state: Tensor, batch: Any, noise: Any, hparams: Any) -> Result:
    return 2.0 * state, {"sum": state.sum()}


def first_update() -> list[float]:
    """Of an executor that compiles."""
    executor = Executor([doubled], Compile.on, Precision.float32, 1)
    nothing = (torch.zeros(1),) * 6
    from rql.data.batch import Batch

    state, metrics = executor.update(0, torch.tensor([1.0, 2.0]), Batch(*nothing), {}, ())
    return [*state.tolist(), metrics["sum"].item()]


def test_another_process_loads_what_was_compiled_and_needs_no_compiler() -> None:
    assert first_update() == [2.0, 4.0, 3.0]
    code = "import sys, test_operations as t; print(t.first_update(), 'torch._inductor' in sys.modules)"
    here = Path(__file__).parent
    ran = subprocess.run([sys.executable, "-c", code], cwd=here, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[2.0, 4.0, 3.0] False"
