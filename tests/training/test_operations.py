"""What a compiled update is found by: the same for the same operations, and another for any other."""

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rql.training.compiled import _keep, _kept
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


@pytest.mark.parametrize(
    "views",
    [
        lambda bounds: bounds.unbind(),
        lambda bounds: (bounds[:1], bounds[1:]),
        lambda bounds: (bounds.T.contiguous().T[0], bounds[1]),
    ],
)
def test_a_constant_is_known_by_all_of_its_memory(views: Callable[[Tensor], Any]) -> None:
    def clamped(high: float) -> Callable[..., Result]:
        low, top = views(torch.tensor([[-1.0, -1.0, -1.0], [high, high, high]]))
        return lambda state, batch: (torch.clamp(state * batch, low, top), {})

    assert digest(clamped(1.0)) == digest(clamped(1.0)) != digest(clamped(7.0))


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


def test_a_library_that_is_damaged_or_of_another_system_is_not_loaded(tmp_path: Path, caplog: Any) -> None:
    content = b"no library"
    whole = tmp_path / f"{hashlib.sha256(content).hexdigest()}.so"
    whole.write_bytes(content)
    (tmp_path / f"{'0' * 64}.so").write_bytes(content[:4])
    with caplog.at_level(logging.INFO):
        assert _kept(tmp_path, []) is None and f"{whole} cannot be loaded" in caplog.text
    assert caplog.text.count("cannot be loaded") == 1


def test_what_cannot_be_kept_is_said(tmp_path: Path, caplog: Any) -> None:
    (tmp_path / "file").touch()
    _keep(tmp_path / "file" / "updates", b"")
    assert "what was compiled is not kept for the next run: " in caplog.text
