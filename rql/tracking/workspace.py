"""A W&B workspace for the runs of a sweep: curves beside the clone's level, which key matters, a table of runs."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rql.config.agents.base import StageInfo
from rql.config.headline import HeadlineInfo
from rql.utils.errors import RQLError
from rql.utils.extras import remedy

METHOD = ("beta", "kl", "overestimation", "q_scale", "td_error", "critic_gradient_norm")
"""Metrics that say how the training goes, where an agent has them."""


@dataclass(frozen=True)
class Runs:
    """The runs that a workspace shows."""

    name: str
    """Of the workspace."""
    entity: str
    project: str
    group: str
    """Of the sweep's runs in W&B."""
    swept: Sequence[str]
    stages: Sequence[StageInfo]
    headline: HeadlineInfo


def workspace_of(runs: Runs) -> Any:
    """The workspace, which `save()` sends to W&B.

    Raises:
        RQLError: if wandb-workspaces is not installed, or no run of the sweep has begun.
    """
    if not runs.stages:
        raise RQLError(f"no run of the sweep {runs.name} has begun, so that nobody knows its stages")
    try:
        ws: Any = importlib.import_module("wandb_workspaces.workspaces")
        panels: Any = importlib.import_module("wandb_workspaces.reports.v2")
    except ImportError as error:
        raise RQLError(f"a workspace needs wandb-workspaces, which is not installed: {remedy('workspace')}") from error
    last, keys = runs.stages[-1], [key for key in runs.swept if key != "seed"]
    headline = f"{last.name}/{runs.headline.metric}"
    curves = [_curve(panels, stage, runs.headline) for stage in reversed(runs.stages)]
    sections = [
        ws.Section(name=f"{runs.headline.title}s".capitalize(), is_open=True, panels=curves),
        ws.Section(name="What matters", is_open=True, panels=_comparisons(panels, runs.swept, last, headline)),
        ws.Section(
            name="Training",
            panels=[
                panels.LinePlot(
                    title=name, x=last.step_metric, y=[f"{last.name}/{name}"], legend_template="${run:name}"
                )
                for name in METHOD
            ],
        ),
    ]
    columns = [*(_column(key) for key in runs.swept), *(f"summary:{name}" for name in _table(runs))]
    runset = ws.RunsetSettings(
        filters=f"Metric('Group') = '{runs.group}'",
        groupby=[ws.Config(key) for key in keys],
        order=[ws.Ordering(ws.Summary(headline), ascending=False)],
        pinned_columns=columns,
    )
    return ws.Workspace(
        entity=runs.entity, project=runs.project, name=runs.name, sections=sections, runset_settings=runset
    )


def _column(key: str) -> str:
    """The name of a configuration key as a column of W&B's table, which keeps the values of each section in `value`."""
    section, *rest = key.split(".")
    return ".".join([f"config:{section}", "value", *rest])


def _curve(panels: Any, stage: StageInfo, headline: HeadlineInfo) -> Any:
    """The headline of a stage, and the level of the clone in those after it."""
    shown = [headline.metric, *([] if stage.baseline else [f"baseline_{headline.metric}"])]
    metrics = [f"{stage.name}/{name}" for name in shown]
    marks = {metric: "dashed" for metric in metrics[1:]}
    title = f"{headline.title}, {stage.label}"
    return panels.LinePlot(title=title, x=stage.step_metric, y=metrics, line_marks=marks)


def _comparisons(panels: Any, swept: Sequence[str], last: StageInfo, headline: str) -> list[Any]:
    shown = [f"{last.name}/gain", headline]
    columns = [panels.ParallelCoordinatesPlotColumn(panels.Config(key)) for key in swept]
    columns += [panels.ParallelCoordinatesPlotColumn(panels.SummaryMetric(name)) for name in shown]
    return [
        panels.ParallelCoordinatesPlot(columns=columns),
        panels.ParameterImportancePlot(with_respect_to=headline),
    ]


def _table(runs: Runs) -> list[str]:
    """The columns of the table of runs beside the swept keys: how it ended, what it found, and how sure that is."""
    (*before, last), metric = runs.stages, runs.headline.metric
    known = dict.fromkeys([metric, "gain", *runs.headline.spread, "return", "normalized_score", "success_rate"])
    found = [f"{last.name}/{name}" for name in known]
    return ["state", *found, *(f"{stage.name}/{metric}" for stage in before), f"best/{metric}", "best/step"]
