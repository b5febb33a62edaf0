"""Shared by all tests: a cache of their own, W&B offline, and the ways to run the program."""

import copy
import gc
import importlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces as gym_spaces
from hydra import compose, initialize_config_dir
from minari.data_collector.episode_buffer import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage
from omegaconf import DictConfig

from rql.__main__ import main as rql_main
from rql.config.compose import load, register_schemas
from rql.config.files import configuration_folder
from rql.config.registry import choices
from rql.config.schema import Config
from rql.data.columns import collected_fields, lay_out
from rql.data.transitions import Transitions
from rql.envs.spaces import ActionSpec, ObservationSpec, Spaces
from rql.training.compiled import CACHE_VARIABLE

register_schemas()
with suppress(ImportError):  # comes with OGBench, and closes the stream that pytest captures as Hydra sets logging up
    importlib.import_module("absl.logging").get_absl_handler().python_handler.stream = sys.__stderr__
ROOT = Path(__file__).parents[1]
TINY = [
    "tracking=disabled",
    "++env.kwargs.max_episode_steps=40",
    "dataset.episodes=4",
    "batch_size=16",
    "bc.updates=6",
    "offline.updates=6",
    "online.env_steps=24",
    "online.warmup_fraction=0.3",
    "online.eval_every=12",
    "tracking.log_every=3",
    "evaluation.episodes=2",
    "evaluation.boundary_episodes=2",
    "evaluation.num_envs=2",
]
"""Overrides for a run of a second or two."""

SHORT = [*TINY, "jobs.report=false", "offline.updates=0", "online.env_steps=0", "evaluation.boundary_episodes=1"]
"""Overrides for the jobs of a sweep that only clone."""

SHORT_EPISODES = [*TINY, "++env.kwargs.max_episode_steps=10", "dataset.episodes=8"]

Cli = Callable[..., Path]
Launch = Callable[..., Path]
Collect = Callable[..., None]


def box_spaces(obs_dim: int, action: ActionSpec) -> Spaces:
    return Spaces(ObservationSpec(gym_spaces.Box(-np.inf, np.inf, (obs_dim,), np.float32), obs_dim), action)


def transitions_of(
    spaces: Spaces,
    obs: Any,
    action: Any,
    reward: Any,
    next_obs: Any,
    terminated: Any,
    truncated: Any,
    starts: Any = (0,),
) -> Transitions:
    fields = collected_fields(spaces)
    steps = {
        "obs": np.asarray(obs, np.float32),
        "action": np.asarray(action, fields["action"].dtype).reshape(-1, *fields["action"].shape),
        "reward": np.asarray(reward, np.float32),
        "next_obs": np.asarray(next_obs, np.float32),
        "terminated": np.asarray(terminated, np.bool_),
        "truncated": np.asarray(truncated, np.bool_),
    }
    lengths = np.diff(np.append(np.asarray(starts, np.int64), len(steps["obs"])))
    return Transitions("test", lay_out(steps, lengths), lengths)


def stepped(envs: Any, *arguments: Any) -> Any:
    """What one step of training environments brings, or of a collector in them, with nothing done meanwhile."""
    envs.send(*arguments)
    return envs.receive()


@pytest.fixture(scope="session", autouse=True)
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(tmp_path_factory.mktemp("minari")))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        base = tmp_path_factory.getbasetemp()  # of this worker; what one of them compiles is there for all
        patch.setenv(CACHE_VARIABLE, str((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "compiled"))
        patch.setenv("WANDB_MODE", "offline")
        patch.delenv("WANDB_API_KEY", raising=False)
        torch.set_num_threads(1)
        gc.set_threshold(50_000, 20, 20)  # by default a fifth of the time it takes to compose
        yield


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """`python run.py …` in this process: returns the run's folder, and exits as the program does."""

    def call(*overrides: str, name: str = "run") -> Path:
        directory = tmp_path / name
        rql_main(["train", f"hydra.run.dir={directory}", *overrides])
        return directory

    return call


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    """`python run.py -m …` in this process; the exit code is compared, the sweep's folder returned."""

    def call(*overrides: str, code: int = 0, short: Sequence[str] = SHORT, name: str = "sweep") -> Path:
        directory = tmp_path / name
        try:
            found = rql_main(["train", "-m", f"hydra.sweep.dir={directory}", *short, *overrides])
        except SystemExit as stop:
            found = int(stop.code or 0)
        assert found == code
        return directory

    return call


def attempts_of(directory: Path) -> dict[str, int]:
    """How often each job of a sweep was begun, by its identity."""
    runs = {path.parent.name.rpartition("-")[2]: path for path in directory.glob("*/run.json")}
    return {job: len(json.loads(path.read_text())["attempts"]) for job, path in runs.items()}


def compose_config(*overrides: str) -> Config:
    """A config of its own for whoever asks: composing takes longer than most tests."""
    return copy.deepcopy(_composed(overrides))


def with_agent(name: str, *overrides: str) -> Config:
    """A config of its own with an agent's defaults; what is common to all agents is composed once."""
    config = compose_config(*overrides)
    config.agent = choices()["agent"][name].schema()
    return config


@cache
def _composed(overrides: tuple[str, ...]) -> Config:
    with initialize_config_dir(str(configuration_folder()), version_base="1.3"):
        return load(compose("config", overrides=list(overrides)))


def metrics_of(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


def summary_of(directory: Path) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((directory / "summary.json").read_text())
    return summary


def episode(steps: int, obs_dim: int, actions: Any, **changes: Any) -> EpisodeBuffer:
    """An episode that ends in truncation, for data sets that a test writes."""
    rng = np.random.default_rng(steps)
    fields: dict[str, Any] = {
        "observations": rng.normal(size=(steps + 1, obs_dim)).astype(np.float32),
        "actions": actions,
        "rewards": list(rng.normal(size=steps)),
        "terminations": [False] * steps,
        "truncations": [False] * (steps - 1) + [True],
    }
    return EpisodeBuffer(**(fields | changes))


def write_minari(
    root: Path,
    id: str,
    episodes: list[EpisodeBuffer],
    observation: gym_spaces.Space[Any],
    action: gym_spaces.Space[Any],
) -> Path:
    """A Minari data set below `root`."""
    path = root / id / "data"
    path.parent.mkdir(parents=True)
    storage = MinariStorage.new(path, observation_space=observation, action_space=action, env_spec=None)
    storage.update_metadata({"dataset_id": id, "minari_version": "0.5.3", "algorithm_name": "test"})
    storage.update_episodes(episodes)
    return path


def inspected(log: Path, *flags: str) -> list[dict[str, Any]]:
    """What wandb's own tool reads in a log: its records, or with `--summary` one object."""
    command = [str(Path(sys.executable).parent / "wandb"), "leet", "inspect", *flags, "--json", str(log)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [json.loads(shown)] if flags else [json.loads(line) for line in shown.splitlines()]


@contextmanager
def sweeping(*overrides: str) -> Iterator[DictConfig]:
    """What Hydra composes when a sweep begins; in the meantime its jobs can be composed."""
    with initialize_config_dir(str(configuration_folder()), version_base="1.3"):
        yield compose("config", overrides=list(overrides), return_hydra_config=True)


@pytest.fixture
def data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of Minari's data sets, with the cache of converted ones in it."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "minari"


@pytest.fixture
def collect(root: Path) -> Collect:
    """`rql collect …` in this process."""

    def call(*overrides: str) -> None:
        rql_main(["collect", f"hydra.run.dir={root.parent}", *overrides])

    return call


def in_another_process(*arguments: str, command: str = "train", output: Path | None = None) -> Any:
    """`rql COMMAND …`, without the time that its imports take; what it prints goes to a file where one is named."""

    def call() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # is ignored where the tests run in the background
        with output.open("w") if output else nullcontext() as file, redirect_stdout(file or sys.stdout):
            rql_main([command, *arguments])

    for module in ("rql.runs.run", "torch._dynamo"):  # which the first gradient needs
        importlib.import_module(module)
    process = multiprocessing.get_context("fork").Process(target=call)
    process.start()
    return process


def ended(process: Any, seconds: float) -> int:
    process.join(seconds)
    assert not process.is_alive()
    return int(process.exitcode)


def without_times(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines of a record without what a clock says."""
    return [{key: value for key, value in line.items() if key != "time"} for line in lines]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that is over."""
    return run_once(tmp_path_factory, "finished")


@pytest.fixture(scope="session")
def cloned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that only cloned."""
    return run_once(tmp_path_factory, "cloned", "offline.updates=0", "online.env_steps=0")


def run_once(tmp_path_factory: pytest.TempPathFactory, name: str, *overrides: str) -> Path:
    """The folder of a run for tests that only read it, or a copy of it."""
    directory = tmp_path_factory.mktemp(name) / "run"
    assert ended(in_another_process(*TINY, *overrides, f"hydra.run.dir={directory}"), 60) == 0
    return directory
