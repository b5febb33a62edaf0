"""The one that listens to the stages: evaluates when it is due, records everything, keeps the person informed."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rql.agents.agent import PolicyName
from rql.agents.saving import AGENT_FILE, save_agent
from rql.agents.state import AgentState
from rql.config.compose import to_plain
from rql.config.schema import Config
from rql.data.transitions import Transitions
from rql.evaluation.evaluator import Evaluator
from rql.reports.curve import draw_curve
from rql.reports.table import results_table
from rql.tracking.display import Display
from rql.tracking.record import LocalRecord
from rql.tracking.wandb import WandbView
from rql.training.ticks import Stage, Tick

Summary = dict[str, Any]


class Observer:
    """Follows one run."""

    def __init__(self, config: Config, directory: Path, evaluator: Evaluator, stack: ExitStack) -> None:
        plain = to_plain(config)
        self._config, self._evaluator = config, evaluator
        stack.callback(evaluator.close)
        self._record = LocalRecord(directory, plain)
        stack.callback(self._record.close)
        self._wandb = WandbView(config.tracking, directory, plain)
        stack.push(self._close_wandb)
        self._display = Display()
        stack.callback(self._display.close)
        self._summary: Summary = {}
        self._totals: dict[Stage, int] = {
            "bc": config.bc.updates,
            "offline": config.offline.updates,
            "online": config.online.env_steps,
        }

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

    def stage(self, stage: Stage, ticks: Iterator[Tick], state: AgentState) -> AgentState:
        """Go through a stage and evaluate its policy at the end, and return the state it ended in."""
        total = self._totals[stage]
        policy: PolicyName = "bc" if stage == "bc" else "final"
        self._display.begin(stage, total)
        updates_before, seconds, resumed = float(state.updates), 0.0, time.monotonic()
        for tick in ticks:
            seconds += time.monotonic() - resumed
            state, metrics = tick.state, tick.metrics
            ended = tick.step >= total
            if tick.evaluate and not ended:
                metrics = metrics | self._evaluator.on_the_way(state, policy)
                ended = stage == "online" and self._reached(metrics["return"])
            if ended:
                metrics = metrics | self._evaluator.at_boundary(state, policy)
            self._record.log(stage, tick.step, metrics)
            self._wandb.log(stage, tick.step, metrics)
            self._display.advance(tick.step, seconds, metrics.get("return"))
            if ended:
                if tick.step < total:
                    goal = self._config.online.stop_return
                    self.say(
                        f"stopped at {tick.step:,} {stage} steps: return {metrics['return']:,.1f}, goal {goal:,.1f}"
                    )
                break
            resumed = time.monotonic()
        save_agent(self._record.directory / AGENT_FILE, state, self._config)
        self._summary |= {f"{stage}/{name}": value for name, value in metrics.items()}
        updates = tick.step if stage == "bc" else float(state.updates) - updates_before
        self._summary[f"{stage}/updates_per_second"] = round(updates / seconds, 3)
        if stage == "online":
            self._summary["env_steps_per_second"] = round(tick.step / seconds, 3)
        return state

    def _reached(self, value: float) -> bool:
        goal = self._config.online.stop_return
        return goal is not None and value >= goal

    def finish(self, wall_seconds: float) -> Summary:
        """Write the summary, draw the curve and print the table."""
        summary = self._summary | {"wall_seconds": round(wall_seconds, 3), "seed": self._config.seed}
        self._summary = summary
        draw_curve(self._record.directory, f"{self._config.env.id}, seed {self._config.seed}")
        self._record.finish(summary)
        self._display.close()
        self._display.console.print(results_table(summary, self._config.evaluation.mode.name))
        where = f"  (W&B: {self._wandb.where})" if self._wandb.where else ""
        self._display.say(f"config, metrics, summary, agent and curve are in {self._record.directory}{where}")
        return summary

    def _close_wandb(self, kind: Any, *_: Any) -> None:
        self._wandb.finish(self._summary, exit_code=0 if kind is None else 1)
