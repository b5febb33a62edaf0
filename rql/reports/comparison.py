"""Everything that tables and figures are made of: arms, tasks, what each run achieved, and in what unit."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path

import numpy as np

from rql.config.agents.base import StageInfo, merged_stages
from rql.reports.grouping import Arm, Column, Factor, find_factors, make_arms
from rql.reports.runs import Run, RunStatus, read_runs
from rql.reports.scores import Outcome, Scale, outcome, scale_of
from rql.reports.statistics import Array, Estimate, Statistic, estimate, improvement, iqm, share_above_zero
from rql.utils.files import code_version

Take = Callable[[Outcome], float | None]
FEW = 3
"""Finished runs of an arm in a task of which a bootstrap says next to nothing."""


@dataclass(frozen=True)
class Comparison:
    """Runs, sorted into arms."""

    directories: tuple[Path, ...]
    when: str
    code: str
    """The version that made the report."""
    runs: tuple[Run, ...]
    factors: tuple[Factor, ...]
    arms: tuple[Arm, ...]
    """All runs that have a configuration, finished or not, in arms: the best ends first."""
    tasks: tuple[str, ...]
    """The tasks of the finished runs."""
    scale: Scale
    outcomes: dict[Path, Outcome]
    """What the finished runs achieved: in the unit of their headline, in scores where tasks have none in common."""
    scores: dict[Path, Outcome]
    """What the finished runs achieved, in scores."""

    @property
    def unit(self) -> str:
        """What `outcomes` are in."""
        return self.scale.unit

    @property
    def shares(self) -> bool:
        """Whether the headline of some finished run is a share of its episodes, so that returns stand beside it."""
        return any(headline.share for headline in self.scale.headlines.values())

    @cached_property
    def stages(self) -> list[StageInfo]:
        """The stages that some finished run has, each name once."""
        evaluated = {stage.name for run in self.finished for stage in run.stages}
        return [stage for stage in merged_stages(run.agent for run in self.finished) if stage.name in evaluated]

    @cached_property
    def compared_stages(self) -> list[StageInfo]:
        """The stages that some finished run has beside its baseline."""
        compared = {stage.name for run in self.finished for stage in run.compared_stages}
        return [stage for stage in self.stages if stage.name in compared]

    @cached_property
    def policy(self) -> str:
        """The symbol of the policy that the compared stages train, or words for it where there are several."""
        symbols = {run.agent.symbol(stage) for run in self.finished for stage in run.compared_stages}
        return symbols.pop() if len(symbols) == 1 else "the final policy"

    @cached_property
    def baseline(self) -> str | None:
        """The symbol of the baseline's policy, or words for it where there are several; None where no run has one."""
        symbols = {run.agent.symbol(run.baseline) for run in self.finished if run.baseline}
        return None if not symbols else symbols.pop() if len(symbols) == 1 else "the baseline"

    @property
    def finished(self) -> list[Run]:
        """The runs that came to their end."""
        return [run for run in self.runs if run.status is RunStatus.finished]

    @property
    def compared(self) -> list[Arm]:
        """The arms that have a finished run."""
        return [arm for arm in self.arms if self.finished_of(arm)]

    @cached_property
    def fewest(self) -> int:
        """The least number of finished runs that an arm has of a task, of those that have any; 0 where none has."""
        counts = [len(self.finished_of(arm, task)) for arm in self.compared for task in self.tasks]
        return min((count for count in counts if count), default=0)

    def of_task(self, task: str) -> "Comparison":
        """One task of this comparison, in the unit of its own headline."""
        scale = self.scale.of_task(task)
        outcomes = {run.directory: outcome(run, scale.measure) for run in self.finished if run.task == task}
        return replace(self, tasks=(task,), scale=scale, outcomes=outcomes)

    def finished_of(self, arm: Arm, task: str | None = None) -> list[Run]:
        """The finished runs of an arm, or of one task of it."""
        return [run for run in arm.runs if run.status is RunStatus.finished and task in (None, run.task)]

    def samples(self, runs: Sequence[Run], take: Take, scored: bool = False) -> list[Array]:
        """What `take` finds in the outcomes, an array (runs,) for each task that has any."""
        outcomes = self.scores if scored else self.outcomes
        by_task = [[take(outcomes[run.directory]) for run in runs if run.task == task] for task in self.tasks]
        arrays = [np.array([value for value in values if value is not None], np.float64) for values in by_task]
        return [array for array in arrays if array.size]

    def estimate(self, runs: Sequence[Run], take: Take, statistic: Statistic, scored: bool = False) -> Estimate | None:
        """A statistic of the outcomes; None where there is nothing to take."""
        samples = self.samples(runs, take, scored)
        return estimate(samples, statistic) if samples else None

    def chance_of_gain(self, runs: Sequence[Run]) -> Estimate | None:
        """The share of the runs that end above their own baseline; None where none has one."""
        gains = self.samples(runs, gain)
        return share_above_zero(np.concatenate(gains)) if gains else None

    def improvement(self, first: Sequence[Run], second: Sequence[Run]) -> Estimate | None:
        """P(X > Y) over the tasks that both have: X and Y are how the first and the second runs end."""
        pairs: list[tuple[Array, Array]] = []
        for task in self.tasks:
            x = self.samples([run for run in first if run.task == task], final)
            y = self.samples([run for run in second if run.task == task], final)
            pairs += zip(x, y, strict=False)
        return estimate([*(x for x, _ in pairs), *(y for _, y in pairs)], improvement) if pairs else None


def final(outcome: Outcome) -> float:
    """The value at the end of a run, which is what arms are compared by."""
    return outcome.final


def final_return(outcome: Outcome) -> float:
    """The return at the end of a run."""
    return outcome.final_return


def baseline(outcome: Outcome) -> float | None:
    """The value of the policy that a run is compared with."""
    return outcome.baseline


def gain(outcome: Outcome) -> float | None:
    """The value at the end of a run less that of its own baseline."""
    return outcome.gain


def compare(directories: Sequence[Path], by: Sequence[str] | None) -> Comparison:
    """Read the runs below the directories, and sort them into arms.

    Raises:
        RQLError: if there are none, or `by` names what no run has.
    """
    runs = read_runs(directories)
    configured = [run for run in runs if run.config]
    finished = [run for run in runs if run.status is RunStatus.finished]
    factors = find_factors(configured, by)
    scale = scale_of(finished)
    tasks = tuple(sorted({run.task for run in finished}))
    scores = {run.directory: outcome(run, scale.score) for run in finished}
    outcomes = {run.directory: outcome(run, scale.measure) for run in finished}
    found = Comparison(
        tuple(directories),
        datetime.now(timezone.utc).isoformat(sep=" ", timespec="minutes").replace("+00:00", " UTC"),
        code_version(),
        tuple(runs),
        tuple(factors),
        tuple(make_arms(configured, factors)),
        tasks,
        scale,
        outcomes,
        scores,
    )
    return replace(found, arms=tuple(sorted(found.arms, key=lambda arm: _rank(found, arm))))


def _rank(comparison: Comparison, arm: Arm) -> float:
    """Less for an arm that ends better; infinite without a finished run."""
    samples = comparison.samples(comparison.finished_of(arm), final)
    return -float(iqm(*samples)) if samples else math.inf


def arms_by(comparison: Comparison, names: Sequence[str]) -> dict[Column, list[Run]]:
    """The finished runs by the values of some of the factors, in the order of the arms."""
    found: dict[Column, list[Run]] = {}
    for arm in comparison.compared:
        key = tuple(arm.setting[name] for name in names)
        found.setdefault(key, []).extend(comparison.finished_of(arm))
    return found
