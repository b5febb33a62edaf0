"""One run from the configuration to the report."""

import time
from contextlib import ExitStack, closing
from pathlib import Path

import torch
from gymnasium.vector import AutoresetMode

from rql.agents.build import build_agent, first_state
from rql.config.schema import Config
from rql.data.replay import PackedDataset, RowLayout
from rql.data.sources import load_datasets
from rql.data.transitions import Transitions
from rql.envs.make import inspect_env, make_vector_env
from rql.errors import ConfigError
from rql.evaluation.evaluator import Evaluator
from rql.evaluation.reference_scores import reference_score
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
    view, env = inspect_env(config.env)
    with env:
        offline, demonstrations = load_datasets(config.dataset, config.env, view, env)
    _check_batch(config, offline, demonstrations)
    schedule = HyperparameterSchedule(config, device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(config.seed, "networks"))
        agent = build_agent(config, view)
    state = first_state(agent, offline, schedule.first_beta, device)
    reference = offline.reference or reference_score(config.env.id)
    with ExitStack() as stack:
        observer = Observer(config, directory, Evaluator(agent, view, config, reference, device), stack)
        observer.introduce(offline, demonstrations)
        layout = RowLayout(view)
        packed = PackedDataset(offline, layout, device)
        cloned = packed if demonstrations is offline else PackedDataset(demonstrations, layout, device)
        state = observer.stage("bc", clone_demonstrations(agent, state, schedule, cloned, config), state)
        state = agent.start_residual(state)
        if config.offline.updates:
            state = observer.stage("offline", learn_offline(agent, state, schedule, packed, config), state)
        if config.online.env_steps:
            with closing(make_vector_env(config.env, config.env.num_envs, AutoresetMode.SAME_STEP)) as envs:
                ticks = finetune_online(agent, state, schedule, packed, envs, view, config)
                observer.stage("online", ticks, state)
        return observer.finish(time.monotonic() - started)


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
