"""What one run achieved: the returns at the end of its stages, and what happened between them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rql.reports.evaluations import Evaluation
from rql.reports.runs import Run
from rql.reports.statistics import mean_over_steps

Measure = Callable[[Run, Evaluation], float]


@dataclass(frozen=True)
class Outcome:
    """What a finished run achieved, in returns or in scores."""

    final: float
    """The value at the end of the last stage."""
    baseline: float | None
    """The value at the end of the baseline stage; None where the run has none."""
    jump: float | None
    """`final` less the end of the stage before; None where that is the baseline, or there is none."""
    ends: dict[str, float]
    """The value at the end of each stage, the baseline's too."""
    worst: dict[str, float]
    """The lowest value in each stage after the baseline's."""
    areas: dict[str, float]
    """The mean over the steps of each online stage, by the trapezoidal rule."""

    @property
    def gain(self) -> float | None:
        """`final` less the run's own baseline."""
        return self.over_baseline(self.final)

    @property
    def dip(self) -> float | None:
        """The lowest value of the last stage less the run's own baseline."""
        return self.over_baseline(list(self.worst.values())[-1])

    def over_baseline(self, value: float | None) -> float | None:
        """A value less the baseline; None where there is no baseline, or no value."""
        return None if value is None or self.baseline is None else value - self.baseline


@dataclass(frozen=True)
class Scale:
    """How returns of different tasks become comparable scores."""

    title: str
    references: dict[str, tuple[float, float]] | None
    """The returns of score 0 and score 1 by task; None takes the record's `normalized_score` / 100."""

    def score(self, run: Run, evaluation: Evaluation) -> float:
        """The score of an evaluation."""
        if self.references is None:
            assert evaluation.normalized is not None
            return evaluation.normalized / 100.0
        low, high = self.references[run.task]
        return (evaluation.value - low) / (high - low)


def scale_of(runs: Sequence[Run]) -> Scale:
    """The scale on which these runs are compared.

    It is the records' own scores if every evaluation has one. Else, by task, 0 is the mean baseline of these runs, or
    the worst run where none has a baseline, and 1 is the best end of a run; where none is above 0, the worst is −1.
    """
    if all(found.normalized is not None for run in runs for found in run.evaluations):
        return Scale("normalised score", None)
    references: dict[str, tuple[float, float]] = {}
    for task in {run.task for run in runs}:
        of_task = [run for run in runs if run.task == task]
        finals = [run.at(run.stages[-1].name)[-1].value for run in of_task]
        baselines = [run.at(run.baseline.name)[-1].value for run in of_task if run.baseline]
        low = sum(baselines) / len(baselines) if baselines else min(finals)
        unit = max(finals) - low if max(finals) > low else low - min(finals)
        references[task] = (low, low + (unit or 1.0))
    symbols = dict.fromkeys(run.agent.symbol(run.baseline) for run in runs if run.baseline)
    return Scale(f"score (0: {' or '.join(symbols) or 'the worst run'}, 1: the best run)", references)


def returns(run: Run, evaluation: Evaluation) -> float:
    """The return of an evaluation, as it is."""
    return evaluation.value


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
        {name: min(values[name]) for name in compared},
        {name: mean_over_steps(*steps_and_values(run, name, measure)) for name in online},
    )
