"""The sentences at the head of a comparison: whether it helped, by how much, how sure that is, which arm is best."""

import numpy as np

from rql.reports import statistics
from rql.reports.cells import text
from rql.reports.comparison import FEW, Comparison, final, gain
from rql.reports.grouping import Arm, find_factors, find_fixed, typed_in_all
from rql.reports.runs import TASK_KEYS, RunStatus
from rql.reports.statistics import Estimate
from rql.utils.text import written

Answer = tuple[str, str]
"""What is answered, and the answer."""


def answers(comparison: Comparison) -> list[Answer]:
    """What the comparison says, in a sentence or two each."""
    arms = comparison.compared
    if not arms:
        return [("Nothing yet:", "no run has finished, so that there is nothing to compare.")]
    return [_end(comparison, arms[0]), *_gain(comparison, arms[0]), *_next(comparison), *_all(comparison)]


def warning(comparison: Comparison) -> str:
    """What to beware of in the intervals; empty where every arm has enough runs of every task."""
    count = comparison.fewest
    if count == 1:
        return "An arm has one finished run of a task: no interval can be given for it. Run five seeds or more."
    if 0 < count <= FEW:
        return (
            f"An arm has {count} finished runs of a task. A 95 % interval of so few misses the truth about every "
            f"{'second' if count == 2 else 'fourth'} time: read it as a range, and run five seeds or more before you "
            "conclude anything. Performance profiles are left out."
        )
    return ""


def facts(comparison: Comparison) -> list[str]:
    """What was compared: which runs, what was varied, what was held fixed, and by which code."""
    counts = {status: sum(run.status is status for run in comparison.runs) for status in RunStatus}
    counted = ", ".join(f"{count} {status.value}" for status, count in counts.items() if count)
    versions = list(dict.fromkeys(version for run in comparison.runs for version in run.code_versions))
    varied = "; ".join(
        factor.name + (f" (with {', '.join(factor.also)})" if factor.also else "") for factor in comparison.factors
    )
    return [
        f"{len(comparison.runs)} runs in {', '.join(map(str, comparison.directories))}: {counted}.",
        f"Grouped by: {varied or 'nothing, the runs differ in seed and task alone'}.{_pooled(comparison)}",
        f"Held fixed: {_fixed(comparison)}.",
        f"Made {comparison.when} by RQL {comparison.code}; the runs were made by {', '.join(versions) or 'unknown'}.",
    ]


def _end(comparison: Comparison, arm: Arm) -> Answer:
    """How an arm ends, alone or as the best."""
    ends = f"{text(comparison.estimate(comparison.finished_of(arm), final, statistics.iqm))} (IQM {comparison.unit})"
    if len(comparison.compared) == 1:
        return "Result:", f"{comparison.policy} ends at {ends}."
    count = len(comparison.compared)
    chosen = f" It was chosen as the best of {count}, which flatters it." if count > 2 else ""
    return "Best arm:", f"{arm.label}. It ends at {ends}.{chosen}"


def _gain(comparison: Comparison, arm: Arm) -> list[Answer]:
    """What an arm adds to its own clones; nothing where it has none."""
    runs = comparison.finished_of(arm)
    gains, over = comparison.samples(runs, gain), comparison.estimate(runs, gain, statistics.iqm)
    if over is None:
        return []
    values = np.concatenate(gains)
    above = f"{(values > 0.0).sum()} of {values.size} runs end above it"
    return [(f"Gain over its own {comparison.baseline}:", f"{text(over)}; {above}. {_verdict(comparison, over)}")]


def _verdict(comparison: Comparison, over: Estimate) -> str:
    what = "Finetuning" if any(stage.online for stage in comparison.compared_stages) else "Learning offline"
    if comparison.fewest <= FEW or over.low is None or over.high is None:
        direction = "helped" if over.value > 0.0 else "did not help"
        return f"{what} {direction} in these runs; they are too few to be sure."
    if over.low > 0.0:
        return f"{what} helped: the whole interval is above 0."
    if over.high < 0.0:
        return f"{what} did harm: the whole interval is below 0."
    return f"Whether {what.lower()} helped is open: the interval contains 0."


def _next(comparison: Comparison) -> list[Answer]:
    """How sure it is that the best arm is better than the second; nothing where there is none."""
    arms = comparison.compared
    probability = comparison.improvement(*map(comparison.finished_of, arms[:2])) if len(arms) > 1 else None
    if probability is None:
        return []
    better = f"a run of the best arm ends better than one of this arm with probability {text(probability)}"
    return [("Next arm:", f"{arms[1].label}; {better}.")]


def _all(comparison: Comparison) -> list[Answer]:
    """How many runs of all arms end above their own clone; without an interval, for arms may share their clones."""
    gains = comparison.samples(comparison.finished, gain)
    if len(comparison.compared) < 2 or not gains:
        return []
    values, middle = np.concatenate(gains), text(float(statistics.iqm(*gains)))
    above = f"{(values > 0.0).sum()} of {values.size} runs end above their own {comparison.baseline}"
    return [("All arms:", f"{above}; the IQM of their gains is {middle}.")]


def _fixed(comparison: Comparison) -> str:
    """The task, the choices of groups, and what was typed for all; the table has the rest."""
    runs = [run for arm in comparison.arms for run in arm.runs]
    if not runs:
        return "unknown"
    fixed, typed = find_fixed(runs), typed_in_all(runs)
    chosen = {key for run in runs for key in run.choices}
    named = [f"{key}={written(value)}" for key, value in fixed.items() if key in chosen | typed | {*TASK_KEYS}]
    rest = len(fixed) - len(named)
    return ", ".join(named) + (f" and {rest} more keys (fixed.csv)" if rest else "")


def _pooled(comparison: Comparison) -> str:
    """A sentence with the factors that `--by` left out; empty where there are none."""
    found: dict[str, None] = {}
    for arm in comparison.arms:
        found |= dict.fromkeys(factor.name for factor in find_factors(arm.runs, None))
    left = [name for name in found if name not in [factor.name for factor in comparison.factors]]
    return f" Pooled over: {', '.join(left)}." if left else ""
