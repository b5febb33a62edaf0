"""Ending early what does worse than the rest, by Optuna's rule, from the local records of the sweep alone."""

import importlib
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rql.config.running import JobsConfig
from rql.runs.folder import JOB_FILE, read_agent_table, read_headline
from rql.runs.record import METRICS_FILE, read_metrics
from rql.sweep.jobs import ENDED, Job, read
from rql.utils.errors import RQLError
from rql.utils.extras import remedy

if TYPE_CHECKING:
    from rql.runs.callbacks import Pruner  # which waits for torch


def pruner_of(sweep: Path, job: Job, config: JobsConfig) -> "Pruner | None":
    """What decides whether a job is to end early, or None where none does.

    Raises:
        RQLError: if Optuna is not installed.
    """
    if not config.prune:
        return None
    try:
        optuna: Any = importlib.import_module("optuna")
    except ImportError as error:
        raise RQLError(f"jobs.prune=true needs optuna, which is not installed: {remedy('optuna')}") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Optuna 2, the newest that Hydra's sweeper takes, calls adding trials experimental
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    own = sweep / job.folder

    def prune(step: int, value: float) -> bool:
        rule = optuna.pruners.MedianPruner(n_startup_trials=config.prune_after, n_warmup_steps=0)
        study = optuna.create_study(direction="maximize", pruner=rule)
        for others in _curves(sweep, own):
            last = others[max(others)]
            study.add_trial(optuna.trial.create_trial(value=last, intermediate_values=others))
        trial = study.ask()
        for earlier, found in (online_curve(own) | {step: value}).items():
            trial.report(found, earlier)
        return bool(trial.should_prune())

    return prune


def _curves(sweep: Path, own: Path) -> list[dict[int, float]]:
    folders = [path.parent for path in sweep.glob(f"*/{JOB_FILE}") if path.parent != own]
    curves = [online_curve(folder) for folder in sorted(folders) if read(folder).status in ENDED]
    return [curve for curve in curves if curve]


def online_curve(folder: Path) -> dict[int, float]:
    """The headline of a job's online evaluations so far, by step.

    Raises:
        RQLError: if its record is damaged.
    """
    if not (folder / METRICS_FILE).exists():
        return {}
    metric = read_headline(folder).metric
    online = {stage.name for stage in read_agent_table(folder).stages if stage.online}
    lines = [line for line in read_metrics(folder) if line["stage"] in online and metric in line]
    return {line["step"]: line[metric] for line in lines}
