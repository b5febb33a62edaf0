"""What one run achieved: the returns of its policies, and what happened between them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rql.reports.runs import Evaluation, Run
from rql.reports.statistics import mean_over_steps

Measure = Callable[[Run, Evaluation], float]


@dataclass(frozen=True)
class Outcome:
    """Of one finished run; in returns or in scores. None where the run had no such stage."""

    bc: float | None
    """π_BC at the end of its stage."""
    offline: float | None
    """π_final at the end of the offline stage."""
    finetuned: float | None
    """π_final at the end of the online stage."""
    final: float
    """`finetuned`, or `offline` where there was no online stage."""
    jump: float | None
    """`finetuned` − `offline`."""
    area: float | None
    """Mean over the online steps, by the trapezoidal rule."""
    area_over_bc: float | None
    worst_offline: float | None
    """The lowest evaluation of π_final offline, less π_BC."""
    worst_online: float | None


@dataclass(frozen=True)
class Scale:
    """How returns of different tasks become comparable scores."""

    title: str
    references: dict[str, tuple[float, float]] | None
    """By task the returns of score 0 and score 1; None takes the record's `normalized_score` / 100."""

    def score(self, run: Run, evaluation: Evaluation) -> float:
        """The score of an evaluation."""
        if self.references is None:
            assert evaluation.normalized is not None
            return evaluation.normalized / 100.0
        low, high = self.references[run.task]
        return (evaluation.value - low) / (high - low)


def scale_of(runs: Sequence[Run]) -> Scale:
    """The records' own scores if every evaluation has one; else, by task, 0 is the mean π_BC of these runs and 1 the
    best π_final at the end of a run. Where none is above π_BC, the worst one is −1.
    """
    if all(found.normalized is not None for run in runs for found in run.evaluations):
        return Scale("normalised score", None)
    references: dict[str, tuple[float, float]] = {}
    for task in {run.task for run in runs}:
        finals = [run.at("offline", "online")[-1].value for run in runs if run.task == task]
        clones = [run.at("bc")[-1].value for run in runs if run.task == task and run.at("bc")]
        low = sum(clones) / len(clones) if clones else min(finals)
        unit = max(finals) - low if max(finals) > low else low - min(finals)
        references[task] = (low, low + (unit or 1.0))
    return Scale("score (0: π_BC, 1: the best run)", references)


def returns(run: Run, evaluation: Evaluation) -> float:
    """The measure of a return as it is."""
    return evaluation.value


def curve(run: Run, stage: str, measure: Measure) -> tuple[list[int], list[float]]:
    """Steps and values of π_final in a stage; online they begin at step 0 with the end of the offline stage."""
    found = run.at(stage)
    steps, values = [one.step for one in found], [measure(run, one) for one in found]
    before = run.at("offline")
    if stage == "online" and found and before and steps[0] > 0:
        return [0, *steps], [measure(run, before[-1]), *values]
    return steps, values


def outcome(run: Run, measure: Measure) -> Outcome:
    """What a finished run achieved."""
    bc, offline, finetuned = (_last(run, stage, measure) for stage in ("bc", "offline", "online"))
    final = finetuned if finetuned is not None else offline
    assert final is not None, "a finished run has an evaluation of π_final"
    steps, values = curve(run, "online", measure)
    area = mean_over_steps(steps, values) if values else None
    return Outcome(
        bc,
        offline,
        finetuned,
        final,
        _less(finetuned, offline),
        area,
        _less(area, bc),
        _less(_lowest(run, "offline", measure), bc),
        _less(_lowest(run, "online", measure), bc),
    )


def _last(run: Run, stage: str, measure: Measure) -> float | None:
    found = run.at(stage)
    return measure(run, found[-1]) if found else None


def _lowest(run: Run, stage: str, measure: Measure) -> float | None:
    return min((measure(run, one) for one in run.at(stage)), default=None)


def _less(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other
