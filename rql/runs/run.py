"""One run from the configuration to the report."""

import logging
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium
import torch

from rql.agents.build import build_agent, first_state
from rql.config.choices import WatchdogAction
from rql.config.compose import choices_of, to_plain
from rql.config.running import WatchdogConfig
from rql.config.schema import Config
from rql.data.journal import Journal
from rql.data.load import load_datasets, minari_root, resolve_env
from rql.data.reference_scores import reference_score
from rql.data.replay import PackedDataset
from rql.data.rows import RowLayout
from rql.data.sources.minari import journal_path
from rql.data.transitions import Reference, RewardTransform, Transitions, n_step
from rql.data.writing import continue_set, describe_set, finish_set, leave
from rql.envs.make import inspect_env
from rql.envs.spaces import Spaces
from rql.envs.training import TrainingEnvs
from rql.evaluation.evaluator import Evaluator
from rql.evaluation.video import Camera, open_camera
from rql.runs.checkpoints import Checkpoint, Checkpoints
from rql.runs.folder import Changes, Command, Identity, RunFolder
from rql.runs.interruption import Interruption
from rql.runs.observer import Observer, Pruner, Summary
from rql.runs.record import read_metrics, read_summary
from rql.runs.session import Session
from rql.training.finetuning import Finetuning
from rql.training.hyperparameters import HyperparameterSchedule
from rql.training.stages import clone_demonstrations, learn_offline
from rql.utils.errors import ConfigError, DivergenceError, RQLError
from rql.utils.random import stream_seed

EXTENDING = {"online.env_steps", "online.stop_return"}
"""What makes a finished run go on."""
DIAGNOSTIC = ("td_loss", "target", "q_policy", "q_scale", "beta", "kl", "actor_loss", "return")
logger = logging.getLogger(__name__)


def run(config: Config, directory: Path, command: Command, prune: Pruner | None = None) -> Summary:
    """Clone, learn offline, finetune online, evaluate each stage, and leave the record in `directory`.

    A run that is in the directory already goes on from its newest checkpoint.

    Raises:
        RQLError: for whatever the user can put right, before anything is trained or written if it can be known then.
        Preempted: if a signal asks the run to end; it can go on then.
        PrunedError: if `prune` says so.
    """
    command = replace(command, choices=choices_of(config))
    with Interruption() as interruption, ExitStack() as stack:
        folder = RunFolder(directory)
        stack.callback(folder.release)
        torch.set_num_threads(config.threads)
        config = replace(config, env=resolve_env(config.dataset, config.env))
        changes: Changes = {}
        if folder.holds_run:
            if config.resume == "never":
                raise RQLError(f"{directory} holds a run already; hydra.run.dir=FOLDER names another place")
            changes = folder.changes(to_plain(config), command.choices)
            if folder.finished and not EXTENDING & changes.keys():
                return _finished(directory)
            for key, (then, now) in changes.items():
                print(f"changed: {key} {then} → {now}")
        parts = _build(config, prune, stack)
        checkpoints = Checkpoints(directory, config, RowLayout.of(parts.spaces).width)
        return _attempts(parts, folder, command, changes, checkpoints, interruption)


@dataclass(frozen=True)
class Parts:
    """What all attempts of a run have in common."""

    config: Config
    device: torch.device
    spaces: Spaces
    env: gymnasium.Env[Any, Any]
    datasets: tuple[Transitions, Transitions] | None
    reward: RewardTransform
    prune: Pruner | None
    camera: Camera | None


def _build(config: Config, prune: Pruner | None, stack: ExitStack) -> Parts:
    device = _device(config.device)
    spaces, env = inspect_env(config.env)
    with env:
        datasets = load_datasets(config.dataset, config.env, spaces, env)
    _check_batch(config, *(datasets or ()))
    reward = _reward(config, datasets[0] if datasets else None)
    camera = stack.enter_context(open_camera(config.env)) if config.tracking.log_video else None
    return Parts(config, device, spaces, env, datasets, reward, prune, camera)


def _attempts(
    parts: Parts,
    folder: RunFolder,
    command: Command,
    changes: Changes,
    checkpoints: Checkpoints,
    interruption: Interruption,
) -> Summary:
    """Train; where that diverges, and the watchdog is told to, again from an earlier checkpoint."""
    watchdog, rolled_back_to = parts.config.watchdog, None
    data = {found.name: found.checksum for found in parts.datasets or ()}
    rollbacks = 0
    while True:
        start = checkpoints.newest()
        if start:
            rollbacks = max(rollbacks, start.progress["rollbacks"])
            start = _extended(start, changes, parts.config)
        identity = folder.begin(command, changes, start.path.name if start else None, data)
        try:
            return _attempt(parts, folder.directory, identity, checkpoints, start, rollbacks, interruption)
        except DivergenceError as error:
            if watchdog.action is not WatchdogAction.roll_back or rollbacks >= watchdog.max_rollbacks:
                raise DivergenceError(f"{error.what}{_diagnosis(folder.directory)}{_remedy(watchdog)}") from error
            if start and start.path == rolled_back_to:
                checkpoints.drop(start)  # it led to nothing twice
            newest = checkpoints.newest()
            rolled_back_to, rollbacks = newest.path if newest else None, rollbacks + 1
            where = newest.path.name if newest else "the beginning"
            factor = watchdog.learning_rate_factor**rollbacks
            logger.warning("%s; going on from %s with learning rates × %g", error, where, factor)


def _diagnosis(directory: Path) -> str:
    """What the last lines of the record say of a training that diverged."""
    lines = read_metrics(directory)[-3:]
    found = {name: line[name] for line in lines for name in DIAGNOSTIC if name in line}
    said = ", ".join(f"{name} {value:.4g}" for name, value in found.items())
    return f"; the record's last values: {said}" if said else ""


def _remedy(watchdog: WatchdogConfig) -> str:
    if watchdog.action is WatchdogAction.roll_back:
        return f"; it had gone back to a checkpoint watchdog.max_rollbacks={watchdog.max_rollbacks} times"
    return "; watchdog.action=roll_back goes on from the last checkpoint with lower learning rates"


def _extended(start: Checkpoint, changes: Changes, config: Config) -> Checkpoint:
    """The checkpoint of a run that is to go on for longer; the same one where all its steps were made.

    Raises:
        ConfigError: if it has gone further already.
    """
    steps = config.online.env_steps
    if start.stage != "online" or not EXTENDING & changes.keys():
        return start
    under_way = not start.ended and start.progress["pending"] is None
    if steps < start.step or (steps == start.step and under_way):
        raise ConfigError("online.env_steps", steps, f"more than {start.step}, the steps that were made")
    return replace(start, ended=start.ended and steps == start.step)


def _attempt(
    parts: Parts,
    directory: Path,
    identity: Identity,
    checkpoints: Checkpoints,
    start: Checkpoint | None,
    rollbacks: int,
    interruption: Interruption,
) -> Summary:
    config, spaces, device, reward = parts.config, parts.spaces, parts.device, parts.reward
    offline, demonstrations = parts.datasets or (None, None)
    with ExitStack() as stack:
        journal = _journal(config, parts.env, identity.run_id, start)
        if journal:
            stack.callback(leave, journal)
        schedule = HyperparameterSchedule(config, device, config.watchdog.learning_rate_factor**rollbacks)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(config.seed, "networks"))
            agent = build_agent(config, spaces, device)
        state = first_state(agent, spaces, offline, schedule.first_beta, device)
        evaluator = Evaluator(agent, spaces, config, reward, _reference(config, offline), device, interruption.check)
        saved = start.progress["observer"] if start else {}
        observer = Observer(config, directory, evaluator, parts.camera, identity, saved, parts.prune, stack)
        observer.introduce(offline, demonstrations)
        packed = cloned = None
        if offline is not None and demonstrations is not None:
            packed = PackedDataset(n_step(reward.of(offline), config.q.n_step, config.q.discount), device)
            cloned = packed if demonstrations is offline else PackedDataset(demonstrations, device)
        session = Session(observer, checkpoints, interruption, start, rollbacks)
        state = session.stage("bc", state, lambda state: clone_demonstrations(agent, state, schedule, cloned, config))
        state = agent.start_residual(state)
        if config.offline.updates and packed:
            data = packed
            state = session.stage("offline", state, lambda state: learn_offline(agent, state, schedule, data, config))
        if config.online.env_steps:
            envs = TrainingEnvs(config.env, stream_seed(config.seed, "envs"))
            stack.callback(envs.close)
            session.stage(
                "online",
                state,
                lambda state: Finetuning(agent, state, schedule, packed, envs, spaces, reward, journal, config),
            )
        if journal and journal.episodes:
            held = f"{journal.steps:,} steps of {journal.episodes:,} finished episodes of the online stage"
            observer.say(f"{held} are in {finish_set(journal)}")
        return observer.finish()


def _journal(config: Config, env: gymnasium.Env[Any, Any], run_id: str, start: Checkpoint | None) -> Journal | None:
    """Where the episodes of the online stage are kept, if they are.

    Raises:
        RQLError: if there is a data set of this id already, or it cannot be written.
    """
    if config.online.save_replay is None:
        return None
    reference = _reference(config, None)
    metadata = {
        "algorithm_name": "RQL, all episodes of its online stage (rql.training)",
        "rql_run": run_id,
        "rql_config": to_plain(config),
        **({"ref_min_score": reference.low, "ref_max_score": reference.high} if reference else {}),
    }
    described = describe_set(config.online.save_replay, env, metadata)
    with minari_root(config.dataset.root):
        if start and start.passed("online") and not journal_path(config.online.save_replay).exists():
            return None  # a former attempt made the data set, and was killed before it wrote its summary
        journal = continue_set(described, "rql_run")
    if start is None or start.stage != "online":
        journal.cut(0)
    return journal


def _finished(directory: Path) -> Summary:
    print(f"{directory} holds this run, finished; more online.env_steps would continue it")
    return read_summary(directory)


def _reference(config: Config, offline: Transitions | None) -> Reference | None:
    if offline and offline.reference:
        return offline.reference
    return reference_score(offline.name if offline else None, config.env.id)


def _reward(config: Config, offline: Transitions | None) -> RewardTransform:
    scale = config.reward.scale
    if config.reward.return_range:
        assert offline is not None
        returns = offline.returns()
        if returns.max() == returns.min():
            allowed = f"false, for all episodes of {offline.name} have the same return"
            raise ConfigError("reward.return_range", True, allowed)
        scale *= 1000.0 / float(returns.max() - returns.min())
    return RewardTransform(scale, config.reward.shift)


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
    for data in datasets:
        if config.batch_size > len(data):
            allowed = f"at most {len(data)}, the transitions of data set {data.name}"
            raise ConfigError("batch_size", config.batch_size, allowed)
