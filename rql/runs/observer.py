"""The one that listens to the stages: evaluates when it is due, records everything, keeps the person informed."""

import logging
import math
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rql.agents.agent import PolicyName
from rql.agents.saving import AGENT_FILE, BEST_FILE, save_agent
from rql.config.compose import to_plain
from rql.config.schema import Config
from rql.data.transitions import Transitions
from rql.evaluation.evaluator import Evaluator
from rql.evaluation.video import Camera, best_format
from rql.reports.curve import draw_curve
from rql.reports.table import results_table
from rql.runs.folder import Identity
from rql.runs.record import LocalRecord, Position
from rql.tracking.display import Display
from rql.tracking.wandb import WandbView
from rql.training.progress import Progress
from rql.training.stages import TrainingStage
from rql.utils.errors import PrunedError, RQLError

Summary = dict[str, Any]
Pruner = Callable[[int, float], bool]
"""Whether a run ends at an online environment step, with the return of its evaluation there."""

VIDEOS = "videos"

logger = logging.getLogger(__name__)


class Observer:
    """Follows one run."""

    def __init__(
        self,
        config: Config,
        directory: Path,
        evaluator: Evaluator,
        camera: Camera | None,
        identity: Identity,
        saved: Summary,
        prune: Pruner | None,
        stack: ExitStack,
    ) -> None:
        """`camera` films the end of each stage; `saved` is what `saved_state` gave, or empty where the run begins."""
        plain = to_plain(config)
        self._stages = {info.name: info for info in config.agent.stages}
        self._config, self._evaluator, self._prune, self._camera = config, evaluator, prune, camera
        stack.callback(evaluator.close)
        self._record = LocalRecord(directory, plain, Position(*saved.get("position", ())))
        stack.callback(self._record.close)
        self._wandb = WandbView(config.tracking, directory, plain, identity)
        stack.push(self._close_wandb)
        self._display = Display()
        stack.callback(self._display.close)
        self._summary: Summary = dict(saved.get("summary", {}))
        self._best: float = saved.get("best", -math.inf)
        self._seconds: float = saved.get("seconds", 0.0)
        self._updates_before: float = saved.get("updates_before", 0.0)

    def say(self, text: str) -> None:
        """Tell the person."""
        self._display.say(text)

    def introduce(self, offline: Transitions | None, demonstrations: Transitions | None) -> None:
        """Say what is about to happen."""
        if offline is None or demonstrations is None:
            self._display.say(f"{self._config.env.id}: no data, a uniform prior")
            return
        self._display.say(
            f"{self._config.env.id}: {len(offline):,} transitions, {len(offline.starts):,} episodes of return "
            f"{offline.returns().mean():,.1f} ± {offline.returns().std():,.1f}; "
            f"cloning {len(demonstrations.starts):,} of return {demonstrations.returns().mean():,.1f}"
        )

    def begin(self, stage: TrainingStage, fresh: bool) -> None:
        """A stage begins, or goes on."""
        self._display.begin(self._stages[stage.name], stage.total, stage.step)
        if fresh:
            self._seconds, self._updates_before = 0.0, float(stage.state.updates)

    def time(self, seconds: float) -> None:
        """So much was spent on training."""
        self._seconds += seconds

    def attend(self, stage: TrainingStage, tick: Progress) -> bool:
        """Evaluate if it is due, and record; whether the stage has come to its end.

        Raises:
            Preempted: if the evaluation was given up; then nothing was recorded.
            PrunedError: if the run is to end here, for others do better.
        """
        policy: PolicyName = "bc" if stage.name == "bc" else "final"
        metrics, ended = tick.metrics, tick.step >= stage.total
        if tick.evaluate and not ended:
            metrics = metrics | self._evaluator.on_the_way(stage.state, policy)
            ended = stage.name == "online" and self._reached(metrics["return"])
        if ended:
            metrics = metrics | self._evaluator.at_boundary(stage.state, policy)
            self._film(stage, tick, policy)
        if policy == "final" and metrics.get("return", -math.inf) > self._best:
            self._best = metrics["return"]
            self._save(BEST_FILE, stage)
        self._record.log(stage.name, tick.step, metrics)
        self._wandb.log(self._stages[stage.name], tick.step, metrics)
        self._display.advance(tick.step, self._seconds, metrics.get("return"))
        if ended:
            self._end(stage, tick, metrics)
        elif tick.evaluate and stage.name == "online" and self._prune and self._prune(tick.step, metrics["return"]):
            raise PrunedError(tick.step, metrics["return"])
        return ended

    def saved_state(self) -> Summary:
        """How far the record has come, and what the summary will need.

        Raises:
            OSError: if the record cannot be written.
        """
        return {
            "position": tuple(self._record.position()),
            "summary": self._summary,
            "best": self._best,
            "seconds": self._seconds,
            "updates_before": self._updates_before,
        }

    def finish(self) -> Summary:
        """Write the summary, draw the curve and print the table."""
        wall_seconds = round(self._record.position().seconds, 3)
        summary = self._summary | {"wall_seconds": wall_seconds, "seed": self._config.seed}
        self._summary = summary
        draw_curve(self._record.directory, f"{self._config.env.id}, seed {self._config.seed}")
        self._record.finish(summary)
        if self._config.tracking.log_policy:
            self._wandb.log_policy(self._record.directory / AGENT_FILE)
        self._display.close()
        agent, mode = self._config.agent, self._config.evaluation.mode.name
        self._display.console.print(results_table(summary, agent.stages, agent.policies, mode))
        where = f"  (W&B: {self._wandb.where})" if self._wandb.where else ""
        self._display.say(f"config, metrics, summary, agent and curve are in {self._record.directory}{where}")
        return summary

    def _reached(self, value: float) -> bool:
        goal = self._config.online.stop_return
        return goal is not None and value >= goal

    def _end(self, stage: TrainingStage, tick: Progress, metrics: dict[str, float]) -> None:
        name = stage.name
        if tick.step < stage.total:
            goal = self._config.online.stop_return
            self.say(f"stopped at {tick.step:,} {name} steps: return {metrics['return']:,.1f}, goal {goal:,.1f}")
        self._save(AGENT_FILE, stage)
        self._summary = self._summary | {f"{name}/{key}": value for key, value in metrics.items()}
        updates = tick.step if name == "bc" else float(stage.state.updates) - self._updates_before
        seconds = max(self._seconds, 1e-9)
        self._summary[f"{name}/updates_per_second"] = round(updates / seconds, 3)
        if name == "online":
            self._summary["env_steps_per_second"] = round(tick.step / seconds, 3)

    def _film(self, stage: TrainingStage, tick: Progress, policy: PolicyName) -> None:
        if self._camera is None:
            return
        path = self._record.directory / VIDEOS / f"{stage.name}{best_format()}"
        try:
            path.parent.mkdir(exist_ok=True)
            self._evaluator.film(stage.state, policy, self._camera, path)
        except Exception as error:  # a driver that gives up, a full disk: no reason to lose a run
            logger.warning("the end of stage %s could not be filmed: %s %s", stage.name, type(error).__name__, error)
            return
        self._wandb.log_video(self._stages[stage.name], tick.step, path)

    def _save(self, name: str, stage: TrainingStage) -> None:
        path = self._record.directory / name
        try:
            save_agent(path, stage.state, self._config)
        except OSError as error:
            raise RQLError(f"the agent cannot be saved to {path}: {error}") from error

    def _close_wandb(self, kind: Any, *_: Any) -> None:
        self._wandb.finish(self._summary, exit_code=0 if kind is None else 1)
