"""One run from the configuration to the report."""

import dataclasses
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from gymnasium.vector import AutoresetMode

from rql.agents.agent import Agent, PolicyName
from rql.agents.build import build_agent, first_state
from rql.agents.state import AgentState
from rql.config.schema import Config
from rql.data.replay import PackedDataset, RowLayout
from rql.data.sources import load_datasets
from rql.data.transitions import Transitions
from rql.envs.make import inspect_env, make_vector_env
from rql.errors import ConfigError
from rql.evaluation.evaluator import Evaluator
from rql.evaluation.reference_scores import reference_score
from rql.reports.curve import draw_curve
from rql.reports.table import results_table
from rql.tracking.display import Display
from rql.tracking.record import LocalRecord
from rql.tracking.wandb import WandbView
from rql.training.hyperparameters import HyperparameterSchedule
from rql.training.random import stream_seed
from rql.training.stages import clone_demonstrations, finetune_online, learn_offline
from rql.training.ticks import Stage, Tick

Summary = dict[str, Any]


def run(config: Config, directory: Path) -> Summary:
    """Clone, learn offline, finetune online, evaluate each stage, and leave the record in `directory`.

    Raises:
        RQLError: for whatever the user can put right, before anything is trained or written if it can be known then.
    """
    started = time.monotonic()
    torch.set_num_threads(config.threads)
    device = _device(config.device)
    view, env = inspect_env(config.env)
    with env:
        offline, demonstrations = load_datasets(config.dataset, view, env)
    _check_batch(config, offline, demonstrations)
    schedule = HyperparameterSchedule(config, device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(config.seed, "networks"))
        agent = build_agent(config, view)
    state = first_state(agent, offline, schedule.first_beta, device)
    reference = offline.reference or reference_score(config.env.id)
    with ExitStack() as stack:
        run = Run(config, directory, agent, Evaluator(agent, view, config, reference, device), stack)
        run.introduce(offline, demonstrations)
        layout = RowLayout(view)
        packed = PackedDataset(offline, layout, device)
        cloned = packed if demonstrations is offline else PackedDataset(demonstrations, layout, device)
        state = run.stage("bc", clone_demonstrations(agent, state, schedule, cloned, config), state)
        state = agent.start_residual(state)
        if config.offline.updates:
            state = run.stage("offline", learn_offline(agent, state, schedule, packed, config), state)
        if config.online.env_steps:
            with closing(make_vector_env(config.env, config.env.num_envs, AutoresetMode.SAME_STEP)) as envs:
                state = run.stage("online", finetune_online(agent, state, schedule, packed, envs, view, config), state)
        return run.finish(time.monotonic() - started)


class Run:
    """The audience of the stages: evaluates when it is due, records everything, keeps the person informed."""

    def __init__(self, config: Config, directory: Path, agent: Agent, evaluator: Evaluator, stack: ExitStack) -> None:
        plain = to_plain(config)
        self._config, self._agent, self._evaluator = config, agent, evaluator
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

    def introduce(self, offline: Transitions, demonstrations: Transitions) -> None:
        """Say what is about to happen."""
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
        seconds, step, updates_before = 0.0, 0, float(state.updates)
        while True:
            started = time.monotonic()
            tick = next(ticks, None)
            seconds += time.monotonic() - started
            if tick is None:
                break
            state, step = tick.state, tick.step
            metrics = tick.metrics
            if tick.evaluate and step < total:
                metrics |= self._evaluator.on_the_way(state, policy)
            if step < total:
                self._log(stage, step, metrics)
        final = self._evaluator.at_boundary(state, policy)
        self._log(stage, step, (metrics if step else {}) | final)
        self._summarise(stage, final, seconds, step, float(state.updates) - updates_before)
        return state

    def finish(self, wall_seconds: float) -> Summary:
        """Write the summary, draw the curve and print the table."""
        summary = self._summary | {"wall_seconds": round(wall_seconds, 3), "seed": self._config.seed}
        self._summary = summary
        draw_curve(self._record.directory, f"{self._config.env.id}, seed {self._config.seed}")
        self._record.finish(summary)
        self._display.close()
        self._display.console.print(results_table(summary, self._config.evaluation.mode.name))
        where = f"  (W&B: {self._wandb.where})" if self._wandb.where else ""
        self._display.say(f"config, metrics, summary and curve are in {self._record.directory}{where}")
        return summary

    def _log(self, stage: Stage, step: int, metrics: dict[str, float]) -> None:
        self._record.log(stage, step, metrics)
        self._wandb.log(stage, step, metrics)
        self._display.advance(step, metrics.get("return"))

    def _summarise(self, stage: Stage, final: dict[str, float], seconds: float, step: int, updates: float) -> None:
        self._summary |= {f"{stage}/{name}": value for name, value in final.items()}
        done = step if stage == "bc" else updates
        if seconds and done:
            self._summary[f"{stage}/updates_per_second"] = round(done / seconds, 3)
        if stage == "online":
            self._summary["env_steps_per_second"] = round(step / seconds, 3)

    def _close_wandb(self, kind: Any, *_: Any) -> None:
        self._wandb.finish(self._summary, exit_code=0 if kind is None else 1)


def to_plain(config: Any) -> Any:
    """A configuration as dictionaries, lists and plain values."""
    if dataclasses.is_dataclass(config):
        return {field.name: to_plain(getattr(config, field.name)) for field in dataclasses.fields(config)}
    if isinstance(config, Enum):
        return config.name
    if isinstance(config, dict):
        return {key: to_plain(value) for key, value in config.items()}
    return [to_plain(value) for value in config] if isinstance(config, list) else config


def _device(name: str) -> torch.device:
    """The device of a run.

    Raises:
        ConfigError: if it is unknown or not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise ConfigError("device", name, "one of cpu, cuda, cuda:N, auto")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError("device", name, f"torch sees {torch.cuda.device_count()} CUDA devices here")
    return device


def _check_batch(config: Config, *datasets: Transitions) -> None:
    smallest = min(datasets, key=len)
    if config.batch_size > len(smallest):
        allowed = f"at most {len(smallest)}, the transitions of data set {smallest.name}"
        raise ConfigError("batch_size", config.batch_size, allowed)
