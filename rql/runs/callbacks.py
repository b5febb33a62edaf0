"""What happens around training: evaluations, films, records, saved agents, ends before the last step.

A callback sees each report of a trainer, one callback after the other, and may add metrics or end the stage.
"""

import csv
import io
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rql.agents.saving import AGENT_FILE, BEST_FILE, save_agent
from rql.config.schema import Config
from rql.evaluation.contact_sheet import sheet, side_by_side
from rql.evaluation.evaluator import Evaluator
from rql.evaluation.rollout import EPISODE_COLUMNS, Episode
from rql.evaluation.video import Camera, best_format
from rql.runs.record import CONTACT_SHEET, SHEETS, VIDEOS, LocalRecord
from rql.tracking.display import Display
from rql.tracking.wandb import WandbView
from rql.training.progress import Progress
from rql.training.trainer import Trainer
from rql.utils.errors import PrunedError, RQLError
from rql.utils.files import write_atomically

Pruner = Callable[[int, float], bool]
"""(online environment step, return of an evaluation there) → whether the run is to end."""
EPISODES = "episodes"
logger = logging.getLogger(__name__)


@dataclass
class Report:
    """A report of a trainer on its way through the callbacks."""

    trainer: Trainer
    step: int
    metrics: dict[str, float]
    evaluate: bool
    """Whether an evaluation is due."""
    ended: bool
    """Whether the stage has come to its end."""
    episodes: list[Episode] = field(default_factory=list)
    """Of the evaluation at the end of the stage."""

    @classmethod
    def of(cls, trainer: Trainer, progress: Progress) -> "Report":
        """The report of a trainer's progress."""
        ended = progress.step >= trainer.total
        return cls(trainer, progress.step, dict(progress.metrics), progress.evaluate, ended)


class Callback:
    """Does nothing; the others do something at some of these moments."""

    def begin(self, trainer: Trainer, fresh: bool) -> None:
        """A stage begins, or goes on where `fresh` is false."""

    def trained(self, seconds: float, compiling: float) -> None:
        """Training took so many seconds, and compiling updates so many more."""

    def report(self, report: Report) -> None:
        """A trainer has come so far."""

    def saved_state(self) -> Any:
        """The state that a checkpoint has to hold of this callback, in plain values."""

    def load(self, saved: Any) -> None:
        """Go on from `saved_state`."""


class Evaluate(Callback):
    """Evaluates the policy of the stage where that is due, and ends the stage where the return is high enough."""

    def __init__(self, evaluator: Evaluator, goal: float | None, display: Display) -> None:
        """`goal` is the return that ends an online stage."""
        self._evaluator, self._goal, self._display = evaluator, goal, display

    def report(self, report: Report) -> None:
        """Add the metrics of evaluations.

        Raises:
            Preempted: if the evaluation was given up.
        """
        info, state = report.trainer.info, report.trainer.state
        if report.evaluate and not report.ended:
            report.metrics |= self._evaluator.during(state, info.policy)
            value = report.metrics["return"]
            if info.online and self._goal is not None and value >= self._goal:
                report.ended = True
        if report.ended:
            evaluation = self._evaluator.at_end(state, info.policy)
            report.metrics |= evaluation.metrics
            report.episodes = evaluation.episodes
            if report.step < report.trainer.total:
                reached = f"return {report.metrics['return']:,.1f}, goal {self._goal:,.1f}"
                self._display.say(f"stopped at {report.step:,} {info.name} steps: {reached}")


class CompareWithBaseline(Callback):
    """Sets the returns of later stages beside that of the run's own baseline, which is its clone."""

    def __init__(self) -> None:
        self._baseline: float | None = None

    def report(self, report: Report) -> None:
        """Add the gain over the baseline to each evaluation."""
        value = report.metrics.get("return")
        if value is None:
            return
        if report.trainer.info.baseline:
            self._baseline = value
        elif self._baseline is not None:
            report.metrics |= {"baseline_return": self._baseline, "gain": value - self._baseline}

    def saved_state(self) -> float | None:
        """The baseline's return."""
        return self._baseline

    def load(self, saved: float | None) -> None:
        """Go on from `saved_state`."""
        self._baseline = saved


class SaveEpisodes(Callback):
    """Keeps the episodes of the evaluation at the end of each stage as a table."""

    def __init__(self, directory: Path, wandb: WandbView) -> None:
        self._directory, self._wandb = directory / EPISODES, wandb

    def report(self, report: Report) -> None:
        """Write `episodes/STAGE.csv`.

        Raises:
            RQLError: if it cannot be written.
        """
        if not report.episodes:
            return
        info, text = report.trainer.info, io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerows([EPISODE_COLUMNS, *report.episodes])
        path = self._directory / f"{info.name}.csv"
        try:
            path.parent.mkdir(exist_ok=True)
            write_atomically(path, text.getvalue().encode())
        except OSError as error:
            raise RQLError(f"the episodes of an evaluation cannot be written to {path}: {error}") from error
        self._wandb.log_episodes(info, report.step, report.episodes)


class Film(Callback):
    """Films an episode at the end of each stage, and has pictures of some, beside those of the baseline."""

    def __init__(self, evaluator: Evaluator, camera: Camera, directory: Path, wandb: WandbView) -> None:
        self._evaluator, self._camera, self._directory, self._wandb = evaluator, camera, directory, wandb

    def report(self, report: Report) -> None:
        """Film the policy of a stage that has ended."""
        if not report.ended:
            return
        info, state = report.trainer.info, report.trainer.state
        path = self._directory / VIDEOS / f"{info.name}{best_format()}"
        try:
            path.parent.mkdir(exist_ok=True)
            self._evaluator.film(state, info.policy, self._camera, path)
            strips = self._evaluator.strips(state, info.policy, self._camera)
            self._lay_out(report, sheet(info.label, strips))
        except Exception as error:  # a driver that gives up, a full disk: no reason to lose a run
            logger.warning("the end of stage %s could not be filmed: %s %s", info.name, type(error).__name__, error)
            return
        self._wandb.log_video(info, report.step, path)

    def _lay_out(self, report: Report, content: bytes) -> None:
        """Write `contact_sheets/STAGE.png`, and `contact_sheet.png`: that of the baseline and this one."""
        info, folder = report.trainer.info, self._directory / SHEETS
        folder.mkdir(exist_ok=True)
        write_atomically(folder / f"{info.name}.png", content)
        shown = [stage for stage in report.trainer.agent.stages if stage.info.baseline or stage.info is info]
        paths = [folder / f"{stage.info.name}.png" for stage in shown]
        write_atomically(self._directory / CONTACT_SHEET, side_by_side([path for path in paths if path.exists()]))


class SaveAgent(Callback):
    """Keeps the agent with the best evaluation after the baseline, and the one at the end of the last stage."""

    def __init__(self, directory: Path, config: Config) -> None:
        self._directory, self._config = directory, config
        self.best: dict[str, Any] = {}
        """The stage, the step and the return of the best evaluation."""

    def report(self, report: Report) -> None:
        """Save the agent where it is the best so far, or its stage has ended.

        Raises:
            RQLError: if it cannot be written.
        """
        value = report.metrics.get("return", -math.inf)
        if not report.trainer.info.baseline and value > self.best.get("best/return", -math.inf):
            self.best = {"best/stage": report.trainer.info.name, "best/step": report.step, "best/return": value}
            self._save(BEST_FILE, report.trainer)
        if report.ended:
            self._save(AGENT_FILE, report.trainer)

    def saved_state(self) -> dict[str, Any]:
        """The best evaluation so far."""
        return self.best

    def load(self, saved: dict[str, Any]) -> None:
        """Go on from `saved_state`."""
        self.best = dict(saved)

    def _save(self, name: str, trainer: Trainer) -> None:
        path = self._directory / name
        try:
            save_agent(path, trainer.state, self._config, trainer.info.name)
        except OSError as error:
            raise RQLError(f"the agent cannot be saved to {path}: {error}") from error


class Record(Callback):
    """Writes each report into the local record, to W&B and to the terminal, and sums the stages up."""

    def __init__(self, record: LocalRecord, wandb: WandbView, display: Display) -> None:
        self._record, self._wandb, self._display = record, wandb, display
        self.summary: dict[str, Any] = {}
        self._seconds = self._compiling = 0.0

    def begin(self, trainer: Trainer, fresh: bool) -> None:
        """Show the stage."""
        if fresh:
            self._seconds = self._compiling = 0.0
        self._display.begin(trainer.info, trainer.total, trainer.step)

    def trained(self, seconds: float, compiling: float) -> None:
        """Count the time of a stage that is training alone, and that of compiling."""
        self._seconds += seconds
        self._compiling += compiling

    def report(self, report: Report) -> None:
        """Record it, and the figures of a stage that has ended."""
        info = report.trainer.info
        self._record.log(info.name, report.step, report.metrics)
        self._wandb.log(info, report.step, report.metrics)
        self._display.advance(report.step, self._seconds, report.metrics.get("return"))
        if report.ended:
            self.summary |= {f"{info.name}/{key}": value for key, value in report.metrics.items()}
            seconds = max(self._seconds, 1e-9)
            self.summary[f"{info.name}/compile_seconds"] = round(self._compiling, 3)
            self.summary[f"{info.name}/updates_per_second"] = round(report.trainer.updates / seconds, 3)
            if info.online:
                self.summary["env_steps_per_second"] = round(report.step / seconds, 3)

    def saved_state(self) -> dict[str, Any]:
        """How far the record has come, and what the summary holds.

        Raises:
            OSError: if the record cannot be written.
        """
        seconds = {"seconds": self._seconds, "compiling": self._compiling}
        return {"position": tuple(self._record.position()), "summary": self.summary, **seconds}

    def load(self, saved: dict[str, Any]) -> None:
        """Go on from `saved_state`; the record was opened at its position."""
        self.summary, self._seconds, self._compiling = dict(saved["summary"]), saved["seconds"], saved["compiling"]


class Prune(Callback):
    """Ends a run that does worse than the other jobs of its sweep."""

    def __init__(self, prune: Pruner) -> None:
        self._prune = prune

    def report(self, report: Report) -> None:
        """Ask after each evaluation in the environment.

        Raises:
            PrunedError: if the run is to end here.
        """
        asked = report.evaluate and report.trainer.info.online and not report.ended
        if asked and self._prune(report.step, report.metrics["return"]):
            raise PrunedError(report.step, report.metrics["return"])
