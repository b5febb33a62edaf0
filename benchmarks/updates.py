"""Updates a second, Hopper shapes, batches of 256: RQL, d3rlpy, TorchRL, stable-baselines3, LeanRL's way.

    pip install 'rql[sb3]' && pip install --no-deps -r benchmarks/peers.txt
    python benchmarks/updates.py [--only bc sac] [--sizes 2x64] [--device cuda] [--population 64] [--differences]

All take turns on one core, ours in a process with the settings of `python run.py` and the peers in one as it comes.
What counts is processor time, on a GPU the clock's. Batches lie ready, but for stable-baselines3, whose method draws
its own. The networks have no layer normalisation, as the peers' have none. The first line is what the processor makes
of products of two 1024 × 1024 matrices, and the last column which share of that an update of ours comes to.
`--population` prints the rate of updates of so many agents at once, and of one after the other, in the place of peers';
`--differences` how far the metrics of compiled updates are from those of eager ones in the place of rates.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch
from one_update import METHODS, Step, d3rlpy, operations, population, rql, sb3, tensors

from rql.config.choices import Compile, Precision
from rql.config.compose import register_schemas
from rql.utils.processor import prepare_processor

SECONDS, ROUNDS = 1.0, 5
PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16}
STEPS = (1, 10, 50, 200)
"""Updates after which the metrics of eager and compiled ones are compared."""
SIZES = {"2x64": [64, 64], "2x256": [256, 256], "3x256": [256, 256, 256]}
WITHIN = 1.0 + torch.finfo(torch.float32).eps


def ours(method: str, hidden: list[int], device: torch.device, count: int | None) -> dict[str, Step]:
    """Updates of ours, by name; of a population of `count`, if that is asked for."""
    if count:
        return population(method, hidden, device, count)
    return {
        "RQL eager": rql(method, hidden, device, Compile.off),
        "RQL compiled": rql(method, hidden, device, Compile.on),
        "RQL compiled, bf16": rql(method, hidden, device, Compile.on, Precision.bf16),
    }


def peers(method: str, hidden: list[int], device: torch.device, count: int | None) -> dict[str, Step]:
    """An update of each peer, by name; of a population there are none."""
    if count:
        return {}
    from torch_rl import torch_rl

    found = {"d3rlpy": d3rlpy(method, hidden, device), "TorchRL": torch_rl(method, hidden, tensors(device))}
    if method == "sac":
        from lean import LeanSAC

        found |= {"stable-baselines3": sb3(hidden, device), "LeanRL's way": LeanSAC(tensors(device), hidden, device)}
    return found


def rate(step: Step, device: torch.device) -> float:
    """Steps a second: of processor time, and where a GPU works of the clock's, until it is done."""
    on_gpu = device.type == "cuda"
    clock = time.perf_counter if on_gpu else time.process_time
    started, steps = clock(), 0
    while clock() - started < SECONDS:
        step()
        steps += 1
        if on_gpu:
            torch.cuda.synchronize()
    return steps / (clock() - started)


def serve(pipe: Connection, contestants: Callable[..., dict[str, Step]], device: torch.device) -> None:
    """Make contestants of what comes through the pipe and give their names, or give the rates of the last ones."""
    if contestants is ours:
        prepare_processor(1)
        register_schemas()
    steps: dict[str, Step] = {}
    while (request := pipe.recv()) is not None:
        if request == "rates":
            pipe.send([rate(step, device) for step in steps.values()])
            continue
        steps = contestants(*request)
        for step in steps.values():
            for _ in range(10 if device.type == "cuda" else 4):  # compiles, warms caches, records graphs
                step()
        pipe.send(list(steps))


def rows(
    methods: list[str], sizes: list[str], device: torch.device, count: int | None, fastest: dict[str, float]
) -> Iterator[str]:
    """The rows of the table, each when it is measured; of a population of `count`, if that is asked for. `fastest` are
    the GFLOP/s of products, by the name of the precision.
    """
    context, pipes = get_context("spawn"), []
    for contestants in (ours, peers):
        here, there = context.Pipe()
        context.Process(target=serve, args=(there, contestants, device), daemon=True).start()
        there.close()  # so that a process that fails ends the wait for its answer
        pipes.append(here)
    for size in sizes:
        for method in methods:
            names = [name for pipe in pipes for name in answer(pipe, (method, SIZES[size], device, count))]
            rounds = [[one for pipe in pipes for one in answer(pipe, "rates")] for _ in range(ROUNDS)]
            rates = np.array(rounds) * (count or 1)
            middle = dict(zip(names, np.median(rates, axis=0), strict=True))
            best = max(value for name, value in middle.items() if not name.startswith("RQL") and "at once" not in name)
            for name, column in zip(names, rates.T, strict=True):
                spread = f"{middle[name]:,.0f} ({column.min():,.0f} to {column.max():,.0f})"
                row = f"| {size} | {method} | {name} | {spread} | {middle[name] / best:.2f} |"
                own = operations(method, SIZES[size], device) if name.startswith("RQL") else 0.0
                reached = own * middle[name] / 1e9 / fastest["bf16" if name.endswith("bf16") else "float32"]
                yield row + (f" {reached:.0%} |" if own else " |")
    for pipe in pipes:
        pipe.send(None)


def answer(pipe: Any, request: Any) -> Any:
    """What a process says to a request."""
    pipe.send(request)
    return pipe.recv()


def differences(methods: list[str], sizes: list[str], device: torch.device) -> Iterator[str]:
    """Rows with the largest relative difference so far of a metric between eager updates and others: compiled ones, and
    eager ones that begin with numbers of which the last bit differs.
    """
    for size in sizes:
        for method in methods:
            build = partial(rql, method, SIZES[size], device)
            others = {"compiled": partial(build, Compile.on), "last bit": partial(build, Compile.off, factor=WITHIN)}
            for name, other_of in others.items():
                eager, other = build(Compile.off), other_of()
                largest, found = 0.0, []
                for number in range(1, STEPS[-1] + 1):
                    largest = max(largest, relative_difference(eager(), other()))
                    found += [f"{largest:.0e}"] * (number in STEPS)
                yield f"| {size} | {method} | {name} | {' | '.join(found)} |"


def relative_difference(one: dict[str, Any], other: dict[str, Any]) -> float:
    """The largest of any metric."""
    return max(abs(float(other[name] / value) - 1.0) for name, value in one.items() if value)


def products(dtype: torch.dtype, device: torch.device) -> float:
    """GFLOP/s in matrix products."""
    left, right = (torch.randn(1024, 1024, device=device).to(dtype) for _ in range(2))
    return rate(lambda: left @ right, device) * 2 * 1024**3 / 1e9


def main() -> None:
    """Take turns, and print the median and the range of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--population", type=int)
    parser.add_argument("--differences", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    register_schemas()
    if options.differences:
        print(f"| network | update | | after {' | '.join(map(str, STEPS))} |")
        print("|---|---|---|" + "---|" * len(STEPS))
        for row in differences(options.only, options.sizes, options.device):
            print(row, flush=True)
        return
    than = "rate one by one" if options.population else "best peer's rate"
    fastest = {name: products(dtype, options.device) for name, dtype in PRECISIONS.items()}
    print("Products of large matrices:", ", ".join(f"{name} {value:,.0f} GFLOP/s" for name, value in fastest.items()))
    print(f"\n| network | update | | a second, median ({ROUNDS} rounds) | of the {than} | of the products' rate |")
    print("|---|---|---|---|---|---|")
    for row in rows(options.only, options.sizes, options.device, options.population, fastest):
        print(row, flush=True)


if __name__ == "__main__":
    main()
