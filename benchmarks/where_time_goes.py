"""Where the time of an update goes, before and after it is compiled: matrix products, and all that lies between them.

    python benchmarks/where_time_goes.py [FIGURE.png]

Hopper shapes and batches of 256 on one core, processor time, the shortest of several rounds. Products are those of an
update in float32, made one after the other and nothing else; no way of writing an update is faster than they are.
"""

import itertools
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")

import torch
from matplotlib import pyplot
from matplotlib.patches import Patch
from one_update import METHODS, ours, rql
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from updates import SIZES

from rql.config.choices import Compile
from rql.config.compose import register_schemas
from rql.utils.processor import prepare_processor

SECONDS, ROUNDS = 0.3, 7
CPU = torch.device("cpu")
aten = torch.ops.aten
PRODUCTS = {aten.mm.default: 0, aten.bmm.default: 0, aten.addmm.default: 1, aten.baddbmm.default: 1}
"""Operations, and at which argument their factors begin."""


class Factors(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Takes down what is multiplied."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.pairs: list[tuple[Tensor, Tensor]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do what is asked."""
        if func in PRODUCTS:
            first = PRODUCTS[func]
            self.pairs.append((args[first], args[first + 1]))
        return func(*args, **(kwargs or {}))


def products(method: str, hidden: list[int]) -> Callable[[], None]:
    """The products of an update, of each in the cycle in its turn."""
    with_, turns = ours(method, hidden, CPU), []
    for update in with_.cycle:
        with Factors() as factors:
            update(with_.state, with_.batch, with_.noise(), with_.hparams)
        pairs = [(left.detach(), right.detach()) for left, right in factors.pairs]
        turns.append([(left, right, left @ right) for left, right in pairs])
    next_turn = itertools.cycle(turns)

    def all_of_them() -> None:
        for left, right, result in next(next_turn):
            torch.matmul(left, right, out=result)

    return all_of_them


def milliseconds(steps: list[Callable[[], Any]]) -> list[float]:
    """Of a call of each, in turn."""
    best = [float("inf")] * len(steps)
    for _ in range(ROUNDS):
        for place, step in enumerate(steps):
            began, calls = time.process_time(), 0
            while (passed := time.process_time() - began) < SECONDS:
                step()
                calls += 1
            best[place] = min(best[place], 1e3 * passed / calls)
    return best


def draw(path: Path, rows: dict[str, dict[str, list[float]]]) -> None:
    """For each size two bars for each method, eager and compiled, of which the dark part is products."""
    figure, panels = pyplot.subplots(1, len(rows), figsize=(11, 3.6), layout="constrained")
    for panel, (size, methods) in zip(panels, rows.items(), strict=True):
        for place, (of_products, eager, compiled) in enumerate(methods.values()):
            for side, whole in ((-0.2, eager), (0.2, compiled)):
                panel.bar(place + side, 100 * whole / eager, 0.36, color="#9ecae1" if side < 0 else "#fdae6b")
                panel.bar(place + side, 100 * min(of_products, whole) / eager, 0.36, color="#08519c", zorder=3)
        panel.set_xticks(range(len(methods)), methods)
        panel.set_title(f"{size[0]} layers of {size[2:]}")
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("time of an update, % of eager")
    names = {"eager": "#9ecae1", "compiled": "#fdae6b", "of which products": "#08519c"}
    handles = [Patch(color=color) for color in names.values()]
    figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measure, print and draw."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    prepare_processor(1)
    register_schemas()
    print("| network | update | products, ms | eager, ms | compiled, ms | products / compiled |")
    print("|---|---|---|---|---|---|")
    rows: dict[str, dict[str, list[float]]] = {}
    for size, hidden in SIZES.items():
        for method in METHODS:
            ways = [rql(method, hidden, CPU, how) for how in (Compile.off, Compile.on)]
            for way in ways:
                for _ in range(4):
                    way()
            times = milliseconds([products(method, hidden), *ways])
            rows.setdefault(size, {})[method] = times
            printed = " | ".join(f"{value:.2f}" for value in times)
            print(f"| {size} | {method} | {printed} | {times[0] / times[2]:.0%} |", flush=True)
    if len(sys.argv) > 1:
        draw(Path(sys.argv[1]), rows)


if __name__ == "__main__":
    main()
