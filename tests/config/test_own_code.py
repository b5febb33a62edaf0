"""Choices that a user's own module registers, from outside of the repository: `imports=[my_module]`."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import TINY, Cli, Collect, Launch, metrics_of
from hydra.core.config_store import ConfigStore
from joblib.externals.loky import get_reusable_executor

import rql
import rql.config.collect  # its groups are there before a test adds to them
from rql.__main__ import main as rql_main
from rql.config.imports import import_named
from rql.config.registry import choices
from rql.utils.errors import RQLError

MODULE = """
from dataclasses import dataclass
from functools import partial

import numpy as np
from torch import nn

import rql
from rql.collect.behaviours import Behaviour
from rql.config.collect import BehaviourConfig
from rql.config.data import DatasetConfig, DemoDatasetConfig
from rql.config.method import BetaConfig, TargetConfig
from rql.config.networks import ActorNetworkConfig, CriticNetworkConfig
from rql.config.settings import Role, positive, setting
from rql.data.sources.demo import open_demo
from rql.nn.linear import EnsembleLinear
from rql.nn.mlp import mlp


def power_beta(config, last_step):
    return lambda step: config.end * (step / max(1, last_step)) ** config.power


@rql.register("beta", "power", power_beta)
@dataclass
class PowerBetaConfig(BetaConfig):
    power: float = positive(3.0)
    end: float = positive(1.0)

    def check(self, config):
        yield "beta.power", self.power, self.power < 9, "below 9"


@rql.register("target", "median", lambda q, log_weight, beta: q.median(-1).values)
@dataclass
class MedianTargetConfig(TargetConfig):
    pass


@rql.register("network/actor", "linear", lambda config, inputs, outputs: nn.Linear(inputs, outputs))
@dataclass
class LinearActorConfig(ActorNetworkConfig):
    pass


def narrow(config, size, inputs, outputs):
    return mlp(partial(EnsembleLinear, size), inputs, [config.width], outputs, layer_norm=False)


@rql.register("network/critic", "narrow", narrow)
@dataclass
class NarrowCriticConfig(CriticNetworkConfig):
    width: int = positive(3)


class HeadFirst(nn.Module):
    def __init__(self, size, inputs, outputs):
        super().__init__()
        self.head, self.body = EnsembleLinear(size, 8, outputs), EnsembleLinear(size, inputs, 8)

    def forward(self, x):
        return self.head(self.body(x).relu())


@rql.register("network/critic", "headfirst", lambda config, size, i, o: HeadFirst(size, i, o))
@dataclass
class HeadFirstConfig(CriticNetworkConfig):
    pass


@rql.register("dataset", "few", lambda config, env: open_demo(DemoDatasetConfig(episodes=config.count), env))
@dataclass
class FewConfig(DatasetConfig):
    count: int = positive(4)
    workers: int = setting(1, Role.how)


@rql.register("behaviour", "still", lambda *_: Behaviour(lambda obs, rng: np.zeros((len(obs), 1), "f"), "no torque"))
@dataclass
class StillConfig(BehaviourConfig):
    pass
"""
OWN = ["beta=power", "target=median", "network/actor=linear", "network/critic=narrow", "dataset=few"]
SHORT = [override for override in TINY if not override.startswith("dataset.")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current directory, with `mine.py` in it; nothing stays registered."""
    here = tmp_path / "here"
    here.mkdir()
    (here / "mine.py").write_text(MODULE)
    monkeypatch.chdir(here)
    monkeypatch.setattr(sys, "path", [*sys.path])
    known = {group: dict(named) for group, named in choices().items()}
    yield here
    forget()
    for group, named in choices().items():
        for name in named.keys() - known[group].keys():
            del named[name]
            stored: Any = ConfigStore.instance().repo
            for part in group.split("/"):
                stored = stored[part]
            stored.pop(f"{name}.yaml", None)  # there is none where a YAML file has the values


def forget() -> None:
    """As in a process that has imported nothing."""
    sys.modules.pop("mine", None)


def test_a_run_is_made_of_choices_from_outside_and_goes_on_with_them(folder: Path, cli: Cli, capsys: Any) -> None:
    command = ["imports=[mine]", *OWN, *SHORT, "beta.power=2", "network.critic.hidden=[9]"]
    directory = cli(*command)
    config = yaml.safe_load((directory / "config.yaml").read_text())
    assert config["imports"] == ["mine"] and config["beta"] == {"power": 2.0, "end": 1.0}
    online = [line for line in metrics_of(directory) if line["stage"] == "online" and "beta" in line]
    assert online and all(line["beta"] == pytest.approx(((line["step"] - 8) / 17) ** 2, abs=0.1) for line in online)
    cli(*command, "online.env_steps=36", "dataset.workers=2")
    with pytest.raises(SystemExit):
        cli(*command, "online.env_steps=36", "dataset.count=5")
    assert "dataset.count (4 → 5)" in capsys.readouterr().err
    forget()
    cli(f"resume={directory}", "online.env_steps=48")
    assert max(line["step"] for line in metrics_of(directory)) == 48


def test_a_saved_run_is_opened_where_its_modules_can_be_imported(
    folder: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = cli("imports=[mine]", *OWN, *SHORT)
    forget()
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(folder)])
    with pytest.raises(RQLError, match=r"^imports=mine is not possible: there is no module mine; PYTHONPATH=FOLDER"):
        rql.load_policy(directory)
    monkeypatch.syspath_prepend(str(folder))
    assert rql.load_policy(directory)([1.0, 0.0, 0.0]).shape == (1,)


def test_a_preset_of_ones_own_names_its_modules(folder: Path, capsys: Any) -> None:
    preset = "# @package _global_\ndefaults:\n  - override /beta: power\nimports: [mine]\nbeta: {power: 4}\n"
    values = "defaults: [/schema/beta/power@_here_]\n\nend: 2.0\n"
    for name, content in (("experiment/own.yaml", preset), ("beta/power.yaml", values)):
        (folder / "conf" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "conf" / name).write_text(content)
    rql_main(["train", "--config-dir", "conf", "experiment=own", "--cfg", "job"])
    composed = yaml.safe_load(capsys.readouterr().out)
    assert composed["beta"] == {"power": 4, "end": 2.0} and composed["imports"] == ["mine"]


def test_collect_takes_a_behaviour_from_outside(folder: Path, collect: Collect, root: Path) -> None:
    collect("imports=[mine]", "id=mine/still-v0", "episodes=1", "env=pendulum", "behaviour=still", "env.num_envs=1")
    assert (root / "mine" / "still-v0" / "data").is_dir()


BROKEN: list[tuple[list[str], str]] = [
    (["imports=[nope]"], "imports=nope is not possible: there is no module nope; PYTHONPATH=FOLDER says where it lies"),
    (["imports=[needy]"], "imports=needy is not possible: ModuleNotFoundError: No module named 'absent'"),
    (["imports=[broken]"], "imports=broken is not possible: ZeroDivisionError: division by zero"),
    (
        ["imports=[taken]"],
        "imports=taken is not possible: ValueError: beta=linear is rql.config",
    ),
    (["imports=mine"], "imports=mine is not possible: a list in brackets"),
    (["imports=[mine]", "beta=power", "beta.power=10"], "beta.power=10.0 is not possible: below 9"),
    (
        ["imports=[mine]", "network/critic=narrow", "network.critic.width=0"],
        "width=0 is not possible: a number above 0",
    ),
    (["imports=[mine]", "beta=powr"], "beta/powr"),
    (
        ["imports=[mine]", "network/critic=headfirst", "dataset.episodes=4"],
        "network.critic: the layer that its module registers last must be that of its output",
    ),
]


@pytest.mark.parametrize(("overrides", "said"), BROKEN, ids=[" ".join(overrides) for overrides, _ in BROKEN])
def test_what_is_wrong_with_ones_own_code_is_said_in_one_sentence(
    overrides: list[str], said: str, folder: Path, cli: Cli, capsys: Any
) -> None:
    (folder / "needy.py").write_text("import absent")
    (folder / "broken.py").write_text("1 / 0")
    (folder / "taken.py").write_text("import rql\n\n@rql.register('beta', 'linear')\nclass Mine: ...")
    with pytest.raises(SystemExit) as stop:
        cli("tracking=disabled", *overrides)
    message = capsys.readouterr().err.strip()
    assert stop.value.code == 2 and said in message
    assert message.startswith("error: ") and "\n" not in message and "Traceback" not in message


def test_help_lists_choices_from_outside(folder: Path, capsys: Any) -> None:
    rql_main(["train", "imports=[mine]", "--help"])
    listed = "*linear, constant, cosine, entropy, entropy_discrete, exponential, kl, late, piecewise, power, strong"
    assert listed in " ".join(capsys.readouterr().out.split())


def test_the_jobs_of_a_sweep_know_choices_from_outside(folder: Path, launch: Launch, capsys: Any) -> None:
    """Workers are other processes, which import the modules anew."""
    tiny = [*SHORT, "offline.updates=0", "online.env_steps=0", "dataset=few", "jobs.report=false"]
    launcher = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    launch("imports=[mine]", *launcher, "beta=power", short=tiny)
    get_reusable_executor().shutdown()
    assert "1 jobs: 1 done" in capsys.readouterr().out


def test_the_folders_of_a_command_line_without_arguments_and_with_folders() -> None:
    """`python run.py` alone is the first command of a new user."""
    conf, mine = Path("conf"), Path("mine")
    assert import_named([], conf) == []
    assert import_named(["seed=1"], conf) == []
    assert import_named(["--config-dir", "mine", "seed=1"], conf) == [mine]
    assert import_named(["seed=1", "--config-dir=mine"], conf) == [mine]
    assert import_named(["-cd", "mine"], conf) == [mine]
