"""What one run achieved: the headlines at the end of its stages, and what happened between them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

from rql.config.headline import RETURN, HeadlineInfo, common
from rql.reports.evaluations import Evaluation
from rql.reports.runs import Run
from rql.reports.statistics import mean_over_steps

Measure = Callable[[Run, Evaluation], float]


@dataclass(frozen=True)
class Outcome:
    """What a finished run achieved, in the unit of its headline or in scores."""

    final: float
    """The value at the end of the last stage."""
    baseline: float | None
    """The value at the end of the baseline stage; None where the run has none."""
    jump: float | None
    """`final` less the end of the stage before; None where that is the baseline, or there is none."""
    ends: dict[str, float]
    """The value at the end of each stage, the baseline's too."""
    worst: dict[str, float]
    """The lowest evaluation of each stage after the baseline's less the baseline in the same episodes; empty where the
    run has none.
    """
    areas: dict[str, float]
    """The mean over the steps of each online stage, by the trapezoidal rule."""
    areas_over_baseline: dict[str, float]
    """That of the difference to the baseline in the same episodes; empty where the run has none."""
    final_return: float
    """The return at the end of the last stage, whatever the others are in."""

    @property
    def gain(self) -> float | None:
        """`final` less the run's own baseline."""
        return None if self.baseline is None else self.final - self.baseline

    @property
    def dip(self) -> float | None:
        """The lowest evaluation of the last stage less the run's own baseline in the same episodes."""
        return list(self.worst.values())[-1] if self.worst else None


@dataclass(frozen=True)
class Scale:
    """In what runs are compared, and how the returns of different tasks become comparable scores."""

    title: str
    """Of the scores."""
    references: dict[str, tuple[float, float]] | None
    """The returns of score 0 and score 1 by task; None takes the record's `normalized_score` / 100."""
    headlines: dict[str, HeadlineInfo]
    """By what the runs of each task are compared."""

    @cached_property
    def common(self) -> HeadlineInfo | None:
        """What all runs are compared by as it is: that of a single task, or a share in all of them; else None."""
        found = set(self.headlines.values())
        if len(found) > 1 or (len(self.headlines) > 1 and not common(found).share):
            return None
        return common(found)

    @property
    def unit(self) -> str:
        """What the numbers of a comparison are."""
        return self.common.unit if self.common else self.title

    @property
    def units(self) -> str:
        """What several such numbers are."""
        return self.common.units if self.common else f"{self.title}s"

    def measure(self, run: Run, evaluation: Evaluation) -> float:
        """What an evaluation is worth in this unit."""
        if not self.common:
            return self.score(run, evaluation)
        return self.common.scale * self.common.value(evaluation.figures)

    def interval(self, run: Run, evaluation: Evaluation) -> tuple[float, float] | None:
        """The 95 % interval of an evaluation that is a share of its episodes, in this unit; None for any other."""
        headline = self.headlines[run.task]
        if not headline.share:
            return None
        low, high = headline.band(evaluation.figures)
        scale = headline.scale if self.common else 1.0
        return scale * low, scale * high

    def of_task(self, task: str) -> "Scale":
        """The scale of one task alone."""
        return replace(self, headlines={task: self.headlines[task]})

    def score(self, run: Run, evaluation: Evaluation) -> float:
        """The score of an evaluation; a share is one as it is."""
        headline = self.headlines[run.task]
        if headline.share:
            return headline.value(evaluation.figures)
        if self.references is None:
            assert evaluation.normalized is not None
            return evaluation.normalized / 100.0
        low, high = self.references[run.task]
        return (returns(run, evaluation) - low) / (high - low)


def scale_of(runs: Sequence[Run]) -> Scale:
    """The scale on which these runs are compared.

    A task whose runs all have a share as their headline is compared by that, any other by the return. Scores of returns
    are the records' own if every evaluation has one. Else, by task, 0 is the mean baseline of these runs, or the worst
    run where none has a baseline, and 1 is the best end of a run; where none is above 0, the worst is −1.
    """
    by_task = {task: [run for run in runs if run.task == task] for task in dict.fromkeys(run.task for run in runs)}
    headlines = {task: common(run.headline for run in of_task) for task, of_task in by_task.items()}
    shares = list(dict.fromkeys(headline.title for headline in headlines.values() if headline.share))
    rest = {task: of_task for task, of_task in by_task.items() if not headlines[task].share}
    if shares and not rest:
        return Scale(shares[0], {}, headlines)
    own = all(found.normalized is not None for of_task in rest.values() for run in of_task for found in run.evaluations)
    references = None if own else {task: _reference(of_task) for task, of_task in rest.items()}
    compared = [run for of_task in rest.values() for run in of_task]
    symbols = dict.fromkeys(run.agent.symbol(run.baseline) for run in compared if run.baseline)
    title = "normalised score" if own else f"score (0: {' or '.join(symbols) or 'the worst run'}, 1: the best run)"
    return Scale(" or ".join([*shares, title]), references, headlines)


def _reference(runs: Sequence[Run]) -> tuple[float, float]:
    """The returns of score 0 and score 1 of the runs of a task."""
    finals = [returns(run, run.at(run.stages[-1].name)[-1]) for run in runs]
    baselines = [returns(run, run.at(run.baseline.name)[-1]) for run in runs if run.baseline]
    low = sum(baselines) / len(baselines) if baselines else min(finals)
    unit = max(finals) - low if max(finals) > low else low - min(finals)
    return low, low + (unit or 1.0)


def returns(run: Run, evaluation: Evaluation) -> float:
    """The return of an evaluation, as it is."""
    return RETURN.value(evaluation.figures)


def steps_and_values(run: Run, stage: str, measure: Measure) -> tuple[list[int], list[float]]:
    """The steps and values of a stage, from the end of the stage before on where that trained the same policy."""
    found = run.at(stage)
    steps, values = [one.step for one in found], [measure(run, one) for one in found]
    for before, after in pairwise(run.stages):
        if after.name == stage and after.policy == before.policy and steps[0] > 0:
            return [0, *steps], [measure(run, run.at(before.name)[-1]), *values]
    return steps, values


def outcome(run: Run, measure: Measure) -> Outcome:
    """What a finished run achieved."""

    def over(run: Run, evaluation: Evaluation) -> float:
        return _over_baseline(run, evaluation, measure)

    values = {stage.name: [measure(run, one) for one in run.at(stage.name)] for stage in run.stages}
    ends = {name: found[-1] for name, found in values.items()}
    compared = [stage.name for stage in run.compared_stages]
    final = ends[compared[-1]]
    online = [stage.name for stage in run.compared_stages if stage.online]
    return Outcome(
        final,
        ends[run.baseline.name] if run.baseline else None,
        final - ends[compared[-2]] if len(compared) > 1 else None,
        ends,
        {name: min(over(run, one) for one in run.at(name)) for name in compared if run.baseline},
        {name: mean_over_steps(*steps_and_values(run, name, measure)) for name in online},
        {name: mean_over_steps(*steps_and_values(run, name, over)) for name in online if run.baseline},
        returns(run, run.at(compared[-1])[-1]),
    )


def _over_baseline(run: Run, evaluation: Evaluation, measure: Measure) -> float:
    """An evaluation less the run's own baseline in the same episodes."""
    assert run.baseline is not None
    return measure(run, evaluation) - measure(run, evaluation.baseline or run.at(run.baseline.name)[-1])
