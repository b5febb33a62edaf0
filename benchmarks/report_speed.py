"""Seconds that `rql report` takes for 200 finished runs, made up: 40 arms × 5 seeds, 60 evaluations each.

python benchmarks/report_speed.py [FOLDER to keep the runs and the report in]
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from hydra import compose, initialize_config_dir

from rql.config.agents.base import AgentTable
from rql.config.agents.rql import RQLConfig
from rql.config.compose import load, register_schemas, to_plain

ROOT = Path(__file__).resolve().parents[1]
BETAS, ALPHAS, COMPOSITIONS, SEEDS = (0.1, 0.3, 0.5, 1.0, 3.0), (1e-4, 3e-4, 1e-3, 1e-2), ("amortized", "resample"), 5
EVALUATIONS, TRAINING_LINES, STEPS = 30, 400, 100_000


def fabricate(directory: Path) -> int:
    """Write the records of finished runs; how many. The returns follow no experiment."""
    register_schemas()
    rng = np.random.default_rng(0)
    settings = list(product(COMPOSITIONS, BETAS, ALPHAS))
    for number, (composition, beta, alpha) in enumerate(settings):
        typed = [f"composition={composition}", "beta=constant", f"beta.value={beta}", f"cql.alpha={alpha}"]
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            config = to_plain(load(compose("config", overrides=typed)))
        goal = 60.0 - 25.0 * abs(np.log(beta)) + 5.0 * np.log10(alpha) + 10.0 * (composition == "amortized")
        for seed in range(SEEDS):
            folder = directory / str(number * SEEDS + seed)
            folder.mkdir(parents=True)
            _write(folder, config | {"seed": seed}, [*typed, f"seed={seed}"], float(goal), rng)
    return len(settings) * SEEDS


def _write(folder: Path, config: dict[str, Any], overrides: list[str], goal: float, rng: np.random.Generator) -> None:
    choices = {"dataset": "demo", "beta": "constant", "composition": overrides[0].partition("=")[2]}
    attempts = [{"started": "2026-01-01T00:00:00+00:00", "code_version": "0.1.0", "changes": {}}]
    recorded = {"config_name": "config", "overrides": overrides, "choices": choices, "attempts": attempts}
    (folder / "run.json").write_text(json.dumps(recorded | AgentTable.of(RQLConfig()).to_plain()))
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    bc = 100.0 + 5.0 * rng.normal()
    lines = [_line("bc", STEPS, bc)]
    for stage, start, end in (
        ("offline", bc - 20.0, bc + 10.0),
        ("online", bc - 10.0, bc + goal + 15.0 * rng.normal()),
    ):
        path = np.linspace(start, end, EVALUATIONS) + 6.0 * rng.normal(size=EVALUATIONS)
        lines += [_line(stage, (n + 1) * STEPS // EVALUATIONS, value) for n, value in enumerate(path)]
    filler = [{"stage": "online", "step": n, "time": n, "td_loss": 1.0, "q_data": 2.0} for n in range(TRAINING_LINES)]
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in [*lines, *filler]))
    rates = {"online/updates_per_second": 100 + rng.normal(), "env_steps_per_second": 100 + rng.normal()}
    summary = {"wall_seconds": 1000 + 10 * rng.normal(), "seed": config["seed"]} | rates
    (folder / "summary.json").write_text(json.dumps(summary))


def _line(stage: str, step: int, value: float) -> dict[str, Any]:
    return {"stage": stage, "step": step, "time": float(step), "return": value, "return_std": 1.0}


def main() -> None:
    """Make the runs, report on them, print the seconds."""
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(sys.argv[1] if len(sys.argv) > 1 else temporary) / "runs"
        count = fabricate(directory)
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "rql", "report", str(directory)], cwd=ROOT, check=True)
        seconds = time.perf_counter() - started
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(f"{count} runs: {seconds:.1f} s, of a processor {used.ru_utime + used.ru_stime:.1f} s")


if __name__ == "__main__":
    main()
