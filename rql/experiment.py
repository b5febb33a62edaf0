"""One run from the configuration to the report."""

import time
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import torch
from gymnasium.vector import AutoresetMode

from rql.agents.build import build_agent, first_state
from rql.config.compose import to_plain
from rql.config.schema import Config
from rql.data.journal import Journal
from rql.data.reference_scores import reference_score
from rql.data.replay import PackedDataset
from rql.data.sources import load_datasets, minari_root, resolve_env
from rql.data.transitions import Reference, RewardTransform, Transitions, n_step
from rql.data.writing import begin_set, describe_set, finish_set, leave
from rql.envs.make import inspect_env, make_vector_env
from rql.errors import ConfigError
from rql.evaluation.evaluator import Evaluator
from rql.observer import Observer, Summary
from rql.training.hyperparameters import HyperparameterSchedule
from rql.training.random import stream_seed
from rql.training.stages import clone_demonstrations, finetune_online, learn_offline


def run(config: Config, directory: Path) -> Summary:
    """Clone, learn offline, finetune online, evaluate each stage, and leave the record in `directory`.

    Raises:
        RQLError: for whatever the user can put right, before anything is trained or written if it can be known then.
    """
    started = time.monotonic()
    torch.set_num_threads(config.threads)
    device = _device(config.device)
    config = replace(config, env=resolve_env(config.dataset, config.env))
    view, env = inspect_env(config.env)
    with env:
        datasets = load_datasets(config.dataset, config.env, view, env)
        journal = _journal(config, env)
    with ExitStack() as stack:
        if journal:
            stack.callback(leave, journal)
        offline, demonstrations = datasets or (None, None)
        _check_batch(config, *(datasets or ()))
        reward = _reward(config, offline)
        schedule = HyperparameterSchedule(config, device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(config.seed, "networks"))
            agent = build_agent(config, view)
        state = first_state(agent, view, offline, schedule.first_beta, device)
        evaluator = Evaluator(agent, view, config, reward, _reference(config, offline), device)
        observer = Observer(config, directory, evaluator, stack)
        observer.introduce(offline, demonstrations)
        packed = cloned = None
        if offline is not None and demonstrations is not None:
            packed = PackedDataset(n_step(reward.of(offline), config.q.n_step, config.q.discount), device)
            cloned = packed if demonstrations is offline else PackedDataset(demonstrations, device)
        state = observer.stage("bc", clone_demonstrations(agent, state, schedule, cloned, config), state)
        state = agent.start_residual(state)
        if config.offline.updates and packed:
            state = observer.stage("offline", learn_offline(agent, state, schedule, packed, config), state)
        if config.online.env_steps:
            with closing(make_vector_env(config.env, config.env.num_envs, AutoresetMode.SAME_STEP)) as envs:
                ticks = finetune_online(agent, state, schedule, packed, envs, view, reward, journal, config)
                state = observer.stage("online", ticks, state)
        try:
            if journal and journal.episodes:
                held = f"{journal.steps:,} steps of {journal.episodes:,} finished episodes of the online stage"
                observer.say(f"{held} are in {finish_set(journal)}")
        finally:
            summary = observer.finish(time.monotonic() - started)
        return summary


def _journal(config: Config, env: gymnasium.Env[Any, Any]) -> Journal | None:
    """Where the episodes of the online stage are kept, if they are.

    Raises:
        RQLError: if there is a data set of this id already, or it cannot be written.
    """
    if config.online.save_replay is None:
        return None
    reference = _reference(config, None)
    metadata = {
        "algorithm_name": "RQL, all episodes of its online stage (rql.training)",
        "rql_config": to_plain(config),
        **({"ref_min_score": reference.low, "ref_max_score": reference.high} if reference else {}),
    }
    with minari_root(config.dataset.root):
        journal = begin_set(describe_set(config.online.save_replay, env, metadata))
    if journal.episodes:
        journal.close()
        remedy = "`python -m rql.data recover` makes a data set of them"
        what = f"{journal.path} holds {journal.episodes:,} episodes of a run that was cut off ({remedy})"
        raise ConfigError("online.save_replay", config.online.save_replay, f"another name, for {what}")
    return journal


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
