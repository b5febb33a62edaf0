"""What a report takes from the lines of a run's `metrics.jsonl`."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rql.config.headline import RETURN, HeadlineInfo

TRACED = {"beta": "β", "kl": "KL from the clone [nats]", "overestimation": "overestimation of Q"}
"""Metrics beside the headline that a report draws, with the label of their axis."""


@dataclass(frozen=True)
class Evaluation:
    """One line of `metrics.jsonl` with a `return`."""

    stage: str
    step: int
    figures: dict[str, float]
    """The mean undiscounted return, and the headline with its interval where that is another, by their names."""
    normalized: float | None
    """`normalized_score`, 100 for the reference's expert."""
    baseline: "Evaluation | None" = None
    """The run's own baseline in the same episodes, without intervals."""


Traces = dict[tuple[str, str], list[tuple[int, float]]]
"""Steps and values by stage and metric; values that are not finite are left out."""


def read_lines(path: Path, headline: HeadlineInfo, cut_off: bool) -> tuple[tuple[Evaluation, ...], Traces]:
    """The evaluations of a record, and the metrics of `TRACED`.

    Args:
        path: the file.
        headline: of the run.
        cut_off: whether its last line may be incomplete, and the file missing, for a run that was killed.

    Raises:
        OSError, ValueError: if it cannot be read.
    """
    evaluations: list[Evaluation] = []
    traces: Traces = {}
    names = [RETURN.metric, *((headline.metric, *headline.spread) if headline.share else ())]
    for number, line in _lines(path, cut_off):
        try:
            stage, step = str(line["stage"]), int(line["step"])
            for metric in TRACED:
                if math.isfinite(value := line.get(metric, math.nan)):
                    traces.setdefault((stage, metric), []).append((step, float(value)))
            if RETURN.metric not in line:
                continue
            figures = {name: float(line[name]) for name in names}
            baseline = _baseline(stage, step, line, headline)
            found = Evaluation(stage, step, figures, line.get("normalized_score"), baseline)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"line {number} cannot be read") from error
        for name, value in figures.items():
            if not math.isfinite(value):
                raise ValueError(f"line {number} has a {name} of {value}")
        evaluations.append(found)
    return tuple(evaluations), traces


def _baseline(stage: str, step: int, line: dict[str, Any], headline: HeadlineInfo) -> Evaluation | None:
    """What a line has of the run's own baseline; None where that is less than it has of itself."""
    known = [one.metric for one in headline.shown] + ["normalized_score"] * ("normalized_score" in line)
    if not all(f"baseline_{name}" in line for name in known):
        return None
    figures = {one.metric: float(line[f"baseline_{one.metric}"]) for one in headline.shown}
    return Evaluation(stage, step, figures, line.get("baseline_normalized_score"))


def _lines(path: Path, cut_off: bool) -> Iterator[tuple[int, dict[str, Any]]]:
    """The lines with their numbers."""
    texts = path.read_text(encoding="utf-8").splitlines() if path.exists() or not cut_off else []
    for number, text in enumerate(texts, start=1):
        try:
            line = json.loads(text)
        except ValueError as error:
            if cut_off and number == len(texts):
                return
            raise ValueError(f"line {number} cannot be read") from error
        yield number, line
