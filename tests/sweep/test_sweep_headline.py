"""A sweep over an environment whose headline is the success rate prunes by it, maximises it and prints it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Launch
from press_env import PRESS

from rql.sweep.folder import jobs_of
from rql.sweep.jobs import JobStatus

SUCCESS = [*PRESS, "env.headline=success", "jobs.report=false", "online.env_steps=24"]


def test_a_search_maximises_the_success_rate_and_the_table_has_it_with_its_interval(
    launch: Launch, capsys: Any
) -> None:
    search = ["hydra/sweeper=optuna", "hydra.sweeper.n_jobs=1", "hydra.sweeper.n_trials=2", "q.tau=interval(0.002,0.5)"]
    directory = launch(*search, short=SUCCESS)
    ends = [json.loads(path.read_text()) for path in directory.glob("*/summary.json")]
    found = yaml.safe_load((directory / "optimization_results.yaml").read_text())["best_value"]
    assert len(ends) == 2 and found == max(end["online/success_rate"] for end in ends)
    table = capsys.readouterr().out.rpartition(" job ")[2]
    for end in ends:
        rate, low, high = (100.0 * end[f"online/success_rate{name}"] for name in ("", "_low", "_high"))
        assert f"{rate:.0f} % ({low:.0f} to {high:.0f})" in table


def test_what_succeeds_less_often_than_the_others_is_pruned_and_nothing_else_whatever_it_returns(
    launch: Launch, capsys: pytest.CaptureFixture[str]
) -> None:
    short = [*SUCCESS, "jobs.prune=true", "jobs.prune_after=2", "online.eval_every=12"]
    directory = launch("seed=0,1", short=short)
    change_records(directory, {"success_rate": 1.0, "return": -1e6})
    launch("seed=0,1,2", short=short)
    assert [job.status for job in jobs_of(directory)] == [JobStatus.done, JobStatus.done, JobStatus.pruned]
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("pruned: "))
    assert re.fullmatch(r"pruned: success rate \d+ % after 12 environment steps is below the median of .*", line)
    change_records(directory, {"success_rate": 0.0, "return": 1e6})
    launch("seed=0,1,2,3", short=short)
    assert jobs_of(directory)[-1].status is JobStatus.done


def change_records(sweep: Path, values: dict[str, float]) -> None:
    """Give all evaluations online other values."""
    for path in sweep.glob("*/metrics.jsonl"):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        changed = [line | (values if line["stage"] == "online" and "return" in line else {}) for line in lines]
        path.write_text("".join(f"{json.dumps(line)}\n" for line in changed))
