"""What happens around training: evaluations, films, records, saved agents, ends before the last step.

A callback sees each report of a trainer, one callback after the other, and may add metrics or end the stage.
"""

import csv
import io
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rql.agents.saving import AGENT_FILE, BEST_FILE, save_agent
from rql.config.headline import HeadlineInfo
from rql.config.schema import Config
from rql.evaluation.contact_sheet import sheet, side_by_side
from rql.evaluation.evaluator import Evaluator
from rql.evaluation.rollout import EPISODE_COLUMNS, Episode
from rql.evaluation.video import Camera, best_format
from rql.runs.record import CONTACT_SHEET, EPISODES, SHEETS, VIDEOS, LocalRecord
from rql.tracking.display import Display
from rql.tracking.wandb import WandbView
from rql.training.progress import Progress
from rql.training.trainer import Trainer
from rql.utils.errors import PrunedError, RQLError
from rql.utils.files import write_atomically

Pruner = Callable[[int, float], bool]
"""(online environment step, headline of an evaluation there) → whether the run is to end."""
Goal = tuple[HeadlineInfo, float]
"""A figure of evaluations, and the value at which an online stage ends."""
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
    """Evaluates the policy of the stage where that is due, and ends an online stage that has reached a goal."""

    def __init__(self, evaluator: Evaluator, goals: Sequence[Goal], display: Display) -> None:
        self._evaluator, self._goals, self._display = evaluator, goals, display

    def report(self, report: Report) -> None:
        """Add the metrics of evaluations.

        Raises:
            Preempted: if the evaluation was given up.
            ConfigError: if the environment did not report the headline.
        """
        info, state = report.trainer.info, report.trainer.state
        reached: list[Goal] = []
        if report.evaluate and not report.ended:
            report.metrics |= self._evaluator.during(state, info.policy)
            goals = self._goals if info.online else []
            reached = [(what, goal) for what, goal in goals if what.value(report.metrics) >= goal]
            report.ended = bool(reached)
        if report.ended:
            evaluation = self._evaluator.at_end(state, info.policy)
            report.metrics |= evaluation.metrics
            report.episodes = evaluation.episodes
            for what, goal in reached:
                found = f"{what.title} {what.said(report.metrics)}, goal {what.written(goal)}"
                self._display.say(f"stopped at {report.step:,} {info.name} steps: {found}")


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

    def __init__(self, directory: Path, config: Config, prior_digest: str) -> None:
        self._directory, self._config, self._prior_digest = directory, config, prior_digest
        self._headline = HeadlineInfo.of(config.env.headline)
        self.best: dict[str, Any] = {}
        """The stage, the step and the headline of the best evaluation, and its return."""

    def report(self, report: Report) -> None:
        """Save the agent where it is the best so far, or its stage has ended.

        Raises:
            RQLError: if it cannot be written.
        """
        info, headline = report.trainer.info, self._headline
        if headline.metric in report.metrics and not info.baseline and self._is_best(report.metrics):
            found = {f"best/{one.metric}": one.value(report.metrics) for one in headline.shown}
            self.best = {"best/stage": info.name, "best/step": report.step} | found
            self._save(BEST_FILE, report.trainer)
        if report.ended:
            self._save(AGENT_FILE, report.trainer)

    def saved_state(self) -> dict[str, Any]:
        """The best evaluation so far."""
        return self.best

    def load(self, saved: dict[str, Any]) -> None:
        """Go on from `saved_state`."""
        self.best = dict(saved)

    def _is_best(self, metrics: dict[str, float]) -> bool:
        return not self.best or self._headline.rank(metrics) > self._headline.rank(self.best, "best/")

    def _save(self, name: str, trainer: Trainer) -> None:
        path = self._directory / name
        try:
            save_agent(path, trainer.state, self._config, trainer.info.name, prior_digest=self._prior_digest)
        except OSError as error:
            raise RQLError(f"the agent cannot be saved to {path}: {error}") from error


class Record(Callback):
    """Writes each report into the local record, to W&B and to the terminal, and sums the stages up."""

    def __init__(self, record: LocalRecord, wandb: WandbView, display: Display, headline: HeadlineInfo) -> None:
        self._record, self._wandb, self._display, self._headline = record, wandb, display, headline
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
        self._display.advance(report.step, self._seconds, report.metrics.get(self._headline.metric))
        if report.ended:
            self.summary |= {f"{info.name}/{key}": value for key, value in report.metrics.items()}
            seconds = max(self._seconds, 1e-9)
            self.summary[f"{info.name}/compile_seconds"] = round(self._compiling, 3)
            self.summary[f"{info.name}/precision"] = report.trainer.executor.precision.name
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

    def __init__(self, prune: Pruner, headline: HeadlineInfo) -> None:
        self._prune, self._headline = prune, headline

    def report(self, report: Report) -> None:
        """Ask after each evaluation in the environment.

        Raises:
            PrunedError: if the run is to end here.
        """
        if not report.evaluate or not report.trainer.info.online or report.ended:
            return
        value = self._headline.value(report.metrics)
        if self._prune(report.step, value):
            raise PrunedError(report.step, value)
