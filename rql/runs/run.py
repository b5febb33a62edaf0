"""One run, from the configuration to its summary."""

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from rql.agents.base import Agent
from rql.agents.build import build_agent
from rql.agents.saving import AGENT_FILE
from rql.config.choices import WatchdogAction
from rql.config.compose import choices_of, to_plain
from rql.config.headline import RETURN, SUCCESS, HeadlineInfo
from rql.config.running import WatchdogConfig
from rql.config.schema import Config
from rql.data.journal import Journal
from rql.data.load import minari_root, resolve_env
from rql.data.sources.minari import journal_path
from rql.data.writing import continue_set, describe_set, finish_set, leave
from rql.evaluation.evaluator import Evaluator
from rql.reports.table import results_table
from rql.runs.attempt import Attempt, Trainers
from rql.runs.baseline import CompareWithBaseline
from rql.runs.callbacks import (
    Callback,
    Evaluate,
    Film,
    Goal,
    Prune,
    Pruner,
    Record,
    SaveAgent,
    SaveEpisodes,
)
from rql.runs.checkpoints import Checkpoint, Checkpoints
from rql.runs.folder import Changes, Command, Identity, RunFolder
from rql.runs.interruption import Interruption
from rql.runs.record import CHOICES, LocalRecord, Position, read_metrics, read_summary
from rql.runs.setup import Setup, build, first_statistics, reference_of
from rql.tracking.display import Display
from rql.tracking.wandb import RunEnd, WandbView
from rql.utils.errors import ConfigError, DivergenceError, Preempted, PrunedError, RQLError
from rql.utils.processor import prepare_processor
from rql.utils.random import stream_seed

Summary = dict[str, Any]
EXTENDING = {"online.env_steps", "online.stop_return", "online.stop_success"}
"""What makes a finished run go on."""
SHOWN_AFTER_DIVERGENCE = ("td_loss", "target", "q_policy", "q_scale", "beta", "kl", "actor_loss", "return")
logger = logging.getLogger(__name__)


def run(config: Config, directory: Path, command: Command, prune: Pruner | None = None) -> Summary:
    """Train and evaluate the agent in each of its stages, and leave the record in `directory`; the summary.

    A run that is in the directory already goes on from its newest checkpoint.

    Raises:
        RQLError: for whatever the user can put right, before anything is trained or written if it can be known then.
        Preempted: if a signal asks the run to end; it can go on then.
        PrunedError: if `prune` says so.
    """
    command = replace(command, choices=command.choices | choices_of(config))
    with Interruption() as interruption, ExitStack() as stack:
        folder = RunFolder(directory)
        stack.callback(folder.release)
        prepare_processor(config.threads)
        config = replace(config, env=resolve_env(config.dataset, config.env))
        changes = _changes(config, folder, command)
        if folder.finished and not EXTENDING & changes.keys():
            print(f"{directory} holds this run, finished; more online.env_steps would continue it")
            return read_summary(directory)
        setup = build(config, stack)
        return Run(setup, folder, command, changes, interruption, prune).attempts()


def _changes(config: Config, folder: RunFolder, command: Command) -> Changes:
    """What differs from the run that the folder holds."""
    if not folder.holds_run:
        return {}
    if config.resume == "never":
        raise RQLError(f"{folder.directory} holds a run already; hydra.run.dir=FOLDER names another place")
    changes = folder.changes(to_plain(config), command.choices)
    for key, (then, now) in changes.items():
        print(f"changed: {key} {then} → {now}")
    return changes


@dataclass(frozen=True)
class Run:
    """A run that is going on."""

    setup: Setup
    folder: RunFolder
    command: Command
    changes: Changes
    interruption: Interruption
    prune: Pruner | None

    @property
    def headline(self) -> HeadlineInfo:
        """By what its policies are compared."""
        return HeadlineInfo.of(self.setup.config.env.headline)

    def attempts(self) -> Summary:
        """Train; where that diverges, and the watchdog is told to, again from an earlier checkpoint."""
        watchdog, rolled_back_to = self.setup.config.watchdog, None
        checkpoints = Checkpoints(self.folder.directory, self.setup.config, self.setup.prior_digest)
        data: dict[str, int | str] = {}
        data |= {f"data set {one.name}": one.checksum for one in (self.setup.offline, self.setup.demonstrations) if one}
        if self.setup.prior and self.setup.prior_digest:
            data[f"the prior {self.setup.prior.name}"] = self.setup.prior_digest
        table, rollbacks = self.setup.config.table, 0
        while True:
            start = checkpoints.newest()
            if start:
                rollbacks = max(rollbacks, start.progress["rollbacks"])
                start = _extended(start, self.changes, self.setup.config)
            begun = start.path.name if start else None
            identity = self.folder.begin(self.command, table, self.headline, self.changes, begun, data)
            try:
                return self._attempt(identity, checkpoints, start, rollbacks)
            except DivergenceError as error:
                if watchdog.action is not WatchdogAction.roll_back or rollbacks >= watchdog.max_rollbacks:
                    last = _last_values(self.folder.directory)
                    raise DivergenceError(f"{error.what}{last}{_remedy(watchdog)}") from error
                if start and start.path == rolled_back_to:
                    checkpoints.drop(start)  # it led to nothing twice
                newest = checkpoints.newest()
                rolled_back_to, rollbacks = newest.path if newest else None, rollbacks + 1
                where = newest.path.name if newest else "the beginning"
                factor = watchdog.learning_rate_factor**rollbacks
                logger.warning("%s; going on from %s with learning rates × %g", error, where, factor)

    def _attempt(
        self, identity: Identity, checkpoints: Checkpoints, start: Checkpoint | None, rollbacks: int
    ) -> Summary:
        setup, config, directory = self.setup, self.setup.config, self.folder.directory
        with ExitStack() as stack:
            journal = open_journal(setup, identity.run_id, start)
            if journal:
                stack.callback(leave, journal)
            agent = make_agent(setup, config.watchdog.learning_rate_factor**rollbacks)
            position = Position(*start.progress["callbacks"]["record"]["position"]) if start else Position()
            described = {CHOICES: identity.choices, **to_plain(config)}
            record = LocalRecord(directory, described, position)
            stack.callback(record.close)
            wandb = WandbView(config.tracking, directory, described, identity)
            display = Display(self.headline)
            stack.callback(display.close)
            callbacks = self._callbacks(agent, record, wandb, display, stack)
            recorder, saver = callbacks["record"], callbacks["agent"]
            assert isinstance(recorder, Record) and isinstance(saver, SaveAgent)
            stack.push(lambda kind, *_: wandb.finish(recorder.summary | saver.best, end_of(kind)))
            display.say(setup.introduction)
            trainers = Trainers(agent, setup, journal, stack)
            attempt = Attempt(trainers, callbacks, checkpoints, self.interruption, start, rollbacks)
            attempt.run(agent.stages, agent.init(first_statistics(setup)))
            if journal and journal.episodes:
                held = f"{journal.steps:,} steps of {journal.episodes:,} finished episodes of the online stage"
                display.say(f"{held} are in {finish_set(journal)}")
            recorder.summary |= saver.best
            return finish(config, record, recorder, wandb, display)

    def _callbacks(
        self, agent: Agent[Any], record: LocalRecord, wandb: WandbView, display: Display, stack: ExitStack
    ) -> dict[str, Callback]:
        """The callbacks by name, in the order in which they see a report."""
        setup, config, directory, headline = self.setup, self.setup.config, self.folder.directory, self.headline
        check = self.interruption.check
        known = setup.reward, setup.reference, setup.device
        evaluator = Evaluator(agent, setup.spaces, config, *known, check, setup.asked_prior)
        stack.callback(evaluator.close)
        found: dict[str, Callback] = {"evaluate": Evaluate(evaluator, goals_of(config), display)}
        if setup.camera is not None:
            found["film"] = Film(evaluator, setup.camera, directory, wandb)
        found |= {
            "baseline": CompareWithBaseline(headline, config.evaluation.mode, setup.reference),
            "episodes": SaveEpisodes(directory, wandb),
        }
        found["agent"] = SaveAgent(directory, config, setup.prior_digest)
        found["record"] = Record(record, wandb, display, headline)
        if self.prune is not None:
            found["prune"] = Prune(self.prune, headline)
        return found


def goals_of(config: Config) -> list[Goal]:
    """What ends the online stage before its steps are over."""
    goals = {RETURN: config.online.stop_return, SUCCESS: config.online.stop_success}
    return [(what, goal) for what, goal in goals.items() if goal is not None]


def end_of(kind: type[BaseException] | None) -> RunEnd:
    """How a run ended that was left by an exception of a kind, or by none."""
    if kind is None:
        return RunEnd.finished
    known = {PrunedError: RunEnd.pruned, Preempted: RunEnd.preempted}
    return next((end for error, end in known.items() if issubclass(kind, error)), RunEnd.failed)


def make_agent(setup: Setup, learning_rate_scale: float) -> Agent[Any]:
    """The agent of a run, whose first weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(setup.config.seed, "networks"))
        return build_agent(setup.config, setup.spaces, setup.device, learning_rate_scale)


def open_journal(setup: Setup, run_id: str, start: Checkpoint | None) -> Journal | None:
    """Where the episodes of the online stage are kept, if they are.

    Raises:
        RQLError: if there is a data set of this id already, or it cannot be written.
    """
    config = setup.config
    if config.online.save_replay is None:
        return None
    reference = reference_of(config, None)
    metadata = {
        "algorithm_name": "RQL, all episodes of its online stage (rql.training)",
        "rql_run": run_id,
        "rql_config": to_plain(config),
        **({"ref_min_score": reference.low, "ref_max_score": reference.high} if reference else {}),
    }
    described = describe_set(config.online.save_replay, setup.env, metadata)
    collecting = next(info.name for info in config.table.stages if info.online)
    with minari_root(config.dataset.root):
        if start and start.passed(collecting) and not journal_path(config.online.save_replay).exists():
            return None  # a former attempt made the data set, and was killed before it wrote its summary
        journal = continue_set(described, "rql_run")
    if start is None or start.stage != collecting:
        journal.cut(0)
    return journal


def finish(config: Config, record: LocalRecord, recorder: Record, wandb: WandbView, display: Display) -> Summary:
    """Write the summary, draw the curve and print the table; the summary."""
    from rql.reports.curve import draw_curve  # imports matplotlib, which training need not wait for

    directory = record.directory
    wall_seconds = round(record.position().seconds, 3)
    recorder.summary |= {"wall_seconds": wall_seconds, "seed": config.seed}
    draw_curve(directory, f"{config.env.task}, seed {config.seed}")
    record.finish(recorder.summary)
    if config.tracking.log_policy:
        wandb.log_policy(directory / AGENT_FILE)
    display.close()
    mode, headline = config.evaluation.mode.name, HeadlineInfo.of(config.env.headline)
    table = results_table(recorder.summary, config.table, mode, headline)
    display.console.print(table)
    where = f"  (W&B: {wandb.where})" if wandb.where else ""
    display.say(f"config, metrics, summary, agent and curve are in {directory}{where}")
    return recorder.summary


def _extended(start: Checkpoint, changes: Changes, config: Config) -> Checkpoint:
    """The checkpoint of a run that is to go on for longer; the same one where all its steps were made.

    Raises:
        ConfigError: if it has gone further already.
    """
    steps = config.online.env_steps
    if not _is_online(start.stage, config) or not EXTENDING & changes.keys():
        return start
    under_way = not start.ended and start.progress["pending"] is None
    if steps < start.step or (steps == start.step and under_way):
        raise ConfigError("online.env_steps", steps, f"more than {start.step}, the steps that were made")
    return replace(start, ended=start.ended and steps == start.step)


def _is_online(stage: str, config: Config) -> bool:
    return any(info.name == stage and info.online for info in config.table.stages)


def _last_values(directory: Path) -> str:
    """What the last lines of the record say of a training that diverged."""
    lines: Sequence[dict[str, Any]] = read_metrics(directory)[-3:]
    values = {name: line[name] for line in lines for name in SHOWN_AFTER_DIVERGENCE if name in line}
    said = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
    return f"; the record's last values: {said}" if said else ""


def _remedy(watchdog: WatchdogConfig) -> str:
    if watchdog.action is WatchdogAction.roll_back:
        return f"; it had gone back to a checkpoint watchdog.max_rollbacks={watchdog.max_rollbacks} times"
    return "; watchdog.action=roll_back goes on from the last checkpoint with lower learning rates"
