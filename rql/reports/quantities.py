"""What the tables say of finished runs besides their ends: a column for each, from the stages that the runs had."""

from dataclasses import dataclass

from rql.config.agents.base import StageInfo
from rql.reports.comparison import Comparison, Take


@dataclass(frozen=True)
class Quantity:
    """A number of a finished run."""

    name: str
    """The name of its column in runs.csv."""
    title: str
    """The name of its column in the table along the stages."""
    take: Take


def quantities(comparison: Comparison) -> list[Quantity]:
    """The quantities that some finished run has, in the order of the columns."""
    compared, baseline = comparison.compared_stages, comparison.baseline
    online = [stage for stage in compared if stage.online]
    columns = [_end(stage) for stage in comparison.stages]
    columns += _jump(comparison)
    columns += [_area(stage) for stage in online]
    if baseline:
        names = {stage.name for run in comparison.finished if run.baseline for stage in run.compared_stages}
        columns += [_area_over(stage, baseline) for stage in online if stage.name in names]
        columns += [_worst(stage, baseline) for stage in compared if stage.name in names]
    return columns


def _end(stage: StageInfo) -> Quantity:
    return Quantity(stage.name, stage.label, lambda outcome: outcome.ends.get(stage.name))


def _jump(comparison: Comparison) -> list[Quantity]:
    last_two = [run.compared_stages[-2:] for run in comparison.finished]
    differences = {f"{last[1].label} − {last[0].label}" for last in last_two if len(last) == 2}
    if not differences:
        return []
    what = differences.pop() if len(differences) == 1 else "last stage − the one before"
    return [Quantity("jump", f"jump ({what})", lambda outcome: outcome.jump)]


def _area(stage: StageInfo) -> Quantity:
    title = f"area under the {stage.name} curve"
    return Quantity(f"area_{stage.name}", title, lambda outcome: outcome.areas.get(stage.name))


def _area_over(stage: StageInfo, baseline: str) -> Quantity:
    name, title = f"area_{stage.name}_over_baseline", f"{stage.name} area less {baseline}"
    return Quantity(name, title, lambda outcome: outcome.areas_over_baseline.get(stage.name))


def _worst(stage: StageInfo, baseline: str) -> Quantity:
    name, title = f"worst_{stage.name}_over_baseline", f"worst {stage.name} less {baseline}"
    return Quantity(name, title, lambda outcome: outcome.worst.get(stage.name))
