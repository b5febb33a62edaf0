"""What the command line accepts, and what it refuses before any work."""

import re
import shutil
import subprocess
import sys
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, TINY, Cli, compose_config
from omegaconf import OmegaConf

from rql.__main__ import main as rql_main
from rql.config.data import MinariDatasetConfig
from rql.config.method import KLBetaConfig, LinearBetaConfig
from rql.config.registry import choices
from rql.config.schema import Config

CHOICES = {
    group.name: [path.stem for path in sorted(group.glob("*.yaml"))]
    for group in sorted((ROOT / "conf").iterdir())
    if group.is_dir() and group.name not in ("hydra", "experiment", "published", "behaviour", "sweep")
}
"""All groups but those of a command of its own, and the presets, which are composed one at a time."""

NOT_OFFLINE = ["policy=uniform", "baseline=none", "bc.updates=0", "offline.updates=0", "replay=online_only"]
NEEDED = {
    "dataset=minari": ["dataset.id=some/set-v0"],
    "dataset=d4rl": ["dataset.path=some.hdf5"],
    "dataset=npz": ["dataset.path=some.npz"],
    "dataset=lerobot": ["dataset.path=some_folder"],
    "dataset=robomimic": ["dataset.path=some.hdf5"],
    "dataset=ogbench": ["dataset.path=some.npz"],
    "dataset=none": NOT_OFFLINE,
    "policy=uniform": NOT_OFFLINE,
    "policy=flow": ["experiment=two_ways"],
    "policy=mixture": ["experiment=two_ways"],
    "env=from_dataset": ["dataset=hopper_medium"],
    "env=metaworld": ["env.kwargs.env_name=hammer-v3"],
    "prior=run": ["experiment=finetune", "prior.run=some/run"],
    "prior=torchscript": ["experiment=finetune", "prior.path=some.pt"],
    "prior=onnx": ["experiment=finetune", "prior.path=some.onnx"],
    "prior=sb3": ["experiment=finetune", "prior.path=some.zip"],
    "prior=python": ["experiment=finetune", "prior.target=some.module:make"],
    "prior=process": ["experiment=finetune", "prior.command=some_command"],
}
VALUES_OF = {
    "dataset": MinariDatasetConfig,
    "beta": KLBetaConfig,
    "beta=late": LinearBetaConfig,
    "beta=strong": LinearBetaConfig,
}
"""Of choices that are values for another one."""
BRINGS = re.compile(r"override /dataset: (\w+)")
"""What an environment that comes with a data set says in its file."""


def _side_by_side() -> list[list[str]]:
    """Overrides among which is each choice of each group; of several groups at once, for composing takes its time."""
    plain = {group: [name for name in names if f"{group}={name}" not in NEEDED] for group, names in CHOICES.items()}
    bring = {name: BRINGS.search((ROOT / "conf/env" / f"{name}.yaml").read_text()) for name in plain["env"]}
    with_data = {name: found[1] for name, found in bring.items() if found}
    rows = [[f"env={env}", f"ablation={name}"] for env, name in zip(with_data, cycle(plain.pop("ablation")))]
    plain["env"] = [name for name in plain["env"] if name not in with_data]
    plain["dataset"] = [name for name in plain["dataset"] if name not in with_data.values()]
    for number in range(max(map(len, plain.values()))):
        rows.append([f"{group}={names[number % len(names)]}" for group, names in plain.items()])
    return rows + [[override, *needed] for override, needed in NEEDED.items()]


@pytest.mark.parametrize("overrides", _side_by_side(), ids=" ".join)
def test_every_choice_of_every_group_composes(overrides: list[str]) -> None:
    config = compose_config(*overrides)
    for group, choice in (override.split("=") for override in overrides):
        if group in choices():
            plain, values = choices()[group].get(choice), VALUES_OF.get(f"{group}={choice}", VALUES_OF.get(group))
            assert type(getattr(config, group)) is (plain.schema if plain else values)


@pytest.mark.parametrize("path", sorted((ROOT / "conf/experiment").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_preset_composes(path: Path) -> None:
    given = ["prior=run", "prior.run=some/run", "prior.mode=sample"] if path.stem == "finetune" else []
    compose_config(f"experiment={path.stem}", *given)
    compose_config(f"experiment={path.stem}", *given, "beta=constant", "composition=resample", "target=soft", "cql=off")


def test_every_published_setting_has_keys_of_its_agent_and_of_the_others() -> None:
    """Merged here, for composing each takes its time; the README's commands compose some."""
    schema: Any = OmegaConf.structured(Config)
    for path in (ROOT / "conf/published").glob("*.yaml"):
        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
        ((_, agent),) = plain.pop("defaults")[0].items()
        OmegaConf.merge(OmegaConf.structured(choices()["agent"][agent].schema), plain.pop("agent", {}))
        OmegaConf.merge(schema, plain)


def test_the_ranges_of_the_method_are_the_defaults() -> None:
    config = compose_config("budget=paper")
    assert (config.q.discount, config.q.tau, config.q.learning_rate, config.bc.learning_rate) == (
        0.99,
        0.005,
        3e-4,
        3e-4,
    )
    assert [compose_config(f"cql={name}").cql.alpha for name in ("off", "seed", "light", "strong")] == [
        0.0,
        1e-3,
        3e-4,
        5.0,
    ]


def test_locomotion_environments_bring_their_data_set_and_the_command_line_has_the_last_word() -> None:
    assert compose_config("env=walker2d").dataset.id == "mujoco/walker2d/medium-v0"  # type: ignore[attr-defined]
    chosen = compose_config("env=walker2d", "dataset=minari", "dataset.id=mine/walker-v1").dataset
    assert chosen.id == "mine/walker-v1"  # type: ignore[attr-defined]


@pytest.mark.parametrize(("command", "config"), [("train", "config"), ("collect", "collect")])
def test_help_lists_every_group_and_choice_with_its_default(
    command: str, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rql_main([command, "--help"]) == 0
    listed = capsys.readouterr().out.split("is the default)")[1].split("Often used")[0]
    _, *sections = re.split(r"^ *([\w/]+): ", listed, flags=re.MULTILINE)
    defaults: list[Any] = yaml.safe_load((ROOT / "conf" / f"{config}.yaml").read_text())["defaults"]
    groups = {group: choice for entry in defaults if isinstance(entry, dict) for group, choice in entry.items()}
    assert set(sections[::2]) == {group for group in groups if "override" not in group}
    for group, names in zip(sections[::2], sections[1::2], strict=True):
        shown, default = [name.strip() for name in names.split(",")], groups[group]
        files = {path.stem for path in (ROOT / "conf" / group).glob("*.yaml")}
        assert {name.removeprefix("*") for name in shown} == files | choices().get(group, {}).keys()
        assert [name for name in shown if name.startswith("*")] == ([f"*{default}"] if default else [])


def test_help_imports_nothing_heavy() -> None:
    loaded = "import sys, run; assert not {'torch', 'wandb', 'gymnasium', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", loaded], cwd=ROOT, check=True)


REFUSED: list[tuple[list[str], list[str]]] = [
    (["beta=quadratic"], ["beta/quadratic", "constant", "linear"]),
    (["env=pendulun"], ["env/pendulun", "pendulum"]),
    (["beta.strat=0.1"], ["beta.strat", "start", "end"]),
    (["beta=constant", "beta.end=2"], ["beta.end", "value"]),
    (["sed=3"], ["sed", "seed"]),
    (["seed=x"], ["seed", "'x'", "Integer"]),
    (["seed=-1"], ["seed=-1", "at least 0"]),
    (["network.critic.aggregate=median"], ["aggregate", "median", "min, mean, random_min"]),
    (["network.critic.hidden=[64,-1]"], ["network.critic.hidden", "above 0"]),
    (["network.critic.aggregate=random_min", "network.critic.subset_size=3"], ["subset_size=3", "[1, 2]"]),
    (["beta.start=1", "beta.end=0.5"], ["beta.end=0.5", "beta.start=1.0"]),
    (["beta.start_share=0.5", "beta.end_share=0.2"], ["beta.end_share=0.2", "above beta.start_share=0.5"]),
    (["beta=piecewise", "beta.steps=[5,5]"], ["beta.steps=[5, 5]", "increasing"]),
    (["beta=piecewise", "beta.values=[1]"], ["beta.values=[1.0]", "each of the 2 steps"]),
    (["beta=exponential", "beta.start=0"], ["beta.start=0", "above 0"]),
    (["beta=kl", "beta.budget_end=0.01"], ["beta.budget_end=0.01", "beta.budget_start=0.03"]),
    (["beta=constant", "beta.value=-1"], ["beta.value=-1", "at least 0"]),
    (["cql.alpha=-0.1"], ["cql.alpha=-0.1", "at least 0"]),
    (["cql.alpha=nan"], ["cql.alpha=nan", "at least 0"]),
    (["q.discount=1.5"], ["q.discount=1.5", "[0, 1]"]),
    (["q.tau=2"], ["q.tau=2", "[0, 1]"]),
    (["bc.learning_rate=0"], ["bc.learning_rate=0", "above 0"]),
    (["bc.updates=-1"], ["bc.updates=-1", "at least 0"]),
    (["replay.offline_fraction=1.1"], ["replay.offline_fraction=1.1", "[0, 1]"]),
    (["dataset.bc.top_fraction=0"], ["dataset.bc.top_fraction=0", "(0, 1]"]),
    (["online.warmup_fraction=2"], ["online.warmup_fraction=2", "[0, 1]"]),
    (["env.num_envs=64", "online.env_steps=20"], ["env.num_envs=64", "online.env_steps=20"]),
    (["beta.end_share=0"], ["beta.end_share=0", "(0, 1]"]),
    (["baseline=value", "policy=uniform", "bc.updates=0"], ["baseline=value", "none where policy=uniform"]),
    (["composition.learning_rate=-1"], ["composition.learning_rate=-1", "above 0"]),
    (["policy.log_std_min=-inf"], ["policy.log_std_min=-inf", "a number below"]),
    (["composition=resample", "beta=kl", "beta.budget_end=4"], ["beta.budget_end=4", "below 3.466", "num_candidates"]),
    (["+cql.alfa=1"], ["cql.alfa=1", "no such key"]),
    (["+env.kwargs.max_episode_steps=-1"], ["env.kwargs.max_episode_steps=-1", "above 0"]),
    (["hydra.run.dir=/proc/nope"], ["/proc/nope", "hydra.run.dir"]),
    (["+env.kwargs.g=abc"], ["env.kwargs", "first step of Pendulum-v1 failed"]),
    (["env=hopper", "+env.kwargs.xml_file=nope.xml"], ["env.kwargs", "nope.xml"]),
    (["tracking.mode=sometimes"], ["tracking.mode", "auto, online, offline, disabled"]),
    (["device=gpu"], ["device=gpu", "cpu, cuda"]),
    (["device=cuda:77"], ["device=cuda:77", "CUDA devices here"]),
    (["env.id=NoSuchEnv-v0"], ["env.id=NoSuchEnv-v0", "imports=[MODULE] imports one of your own"]),
    (["env.kwargs.g=3"], ["env.kwargs.g", "+env.kwargs.g"]),
    (["+env.kwargs.gravity=3", "env=cartpole"], ["env.kwargs", "gravity"]),
    (["env=cartpole", "policy=squashed_gaussian"], ["policy.name=squashed_gaussian", "categorical"]),
    (["policy=categorical"], ["policy.name=categorical", "squashed_gaussian"]),
    (["env.obs_keys=[x]"], ["env.obs_keys=['x']", "no dictionary"]),
    (["policy=uniform", "baseline=none"], ["bc.updates=3000", "0"]),
    (["experiment=scratch", "dataset=none", "offline.updates=1"], ["offline.updates=1", "dataset=none"]),
    (["dataset=none"], ["policy.name=auto", "policy=uniform"]),
    (["online.env_steps=99"], ["online.env_steps=99", "at least batch_size=256"]),
    (["replay.capacity=99"], ["replay.capacity=99", "at least batch_size=256"]),
    (["env=from_dataset"], ["env.id=from_dataset", "dataset=demo"]),
    (["dataset=npz", "dataset.path=/no/where.npz"], ["/no/where.npz cannot be read: No such file"]),
    (["dataset=d4rl", "dataset.path=/tmp"], ["dataset.path=/tmp", ".hdf5"]),
    (["dataset.mix=[{source: a/b-v0, weight: 0}]"], ["dataset.mix[0].weight=0", "above 0"]),
    (["dataset.mix=[{sauce: a/b-v0}]"], ["sauce", "PartConfig", "source, weight"]),
    (["dataset.keep.episodes=0"], ["dataset.keep.episodes=0", "at least 1"]),
    (["target=soft", "target.num_samples=1"], ["target.num_samples=1", "at least 2"]),
    (["target=return", "composition=resample"], ["target=return", "soft, expected or prior", "no network"]),
    (["composition=residual", "composition.width=0"], ["composition.width=0", "in (0, 1]"]),
    (["composition=residual", "policy=uniform", "baseline=none"], ["composition=residual", "where policy=uniform"]),
    (["env=cartpole", "online.noise_correlation=0.5"], ["online.noise_correlation=0.5", "CartPole-v1 are discrete"]),
    (["agent=expo", "online.noise_correlation=0.5"], ["online.noise_correlation=0.5", "0 with agent=expo"]),
    (["agent=resfit", "policy=uniform", "bc.updates=0"], ["policy.name=uniform", "another with agent=resfit"]),
    (
        ["env.vectorization=subprocess", "online.overlap=true", "online.env_steps=64", "batch_size=64"],
        ["online.env_steps=64", "at least batch_size=64", "env.num_envs=1 more"],
    ),
    (["online.overlap=true"], ["online.overlap=True", "false unless env.vectorization=subprocess"]),
    (["composition=resample", "online.noise_correlation=0.5"], ["online.noise_correlation=0.5", "0 where composition"]),
    (["online.stop_return=3", "online.eval_every=0"], ["online.eval_every=0", "stop_return"]),
    (["online.stop_success=0.9"], ["online.stop_success=0.9", "null unless env.headline=success"]),
    (["env.headline=success", "online.stop_success=90"], ["online.stop_success=90", "in (0, 1]"]),
    (["env.headline=success"], ["env.headline=success", "return", "Pendulum-v1 has neither is_success nor success"]),
    (["env.headline=score"], ["env.headline", "score", "return, success"]),
    (["replay.capacity=2", "q.n_step=3"], ["replay.capacity=2", "at least 3"]),
    (["q.n_step=0"], ["q.n_step=0", "at least 1"]),
    (["reward.scale=0"], ["reward.scale=0", "above 0"]),
    (["online.save_replay=some/set-v0", "online.env_steps=0"], ["online.save_replay=some/set-v0", "env_steps=0"]),
    (["online.save_replay=nonsense"], ["nonsense is no Minari id"]),
    (["env.id=Reacher-v5"], ["dataset=demo", "Reacher-v5", "Pendulum-v1"]),
    (["dataset=minari", "dataset.id=no-version"], ["no-version is no Minari id"]),
    (["dataset=minari", "dataset.id=no/where-v0", "dataset.download=false"], ["no/where-v0", "dataset.download=true"]),
    (["dataset=minari"], ["dataset.id=???", "must be given"]),
    (['tracking.tags=[""]'], ["tracking.tags[0]=", "1 to 64 characters"]),
    (["dataset.keep.seed=-1"], ["dataset.keep.seed=-1", "at least 0"]),
    (["evaluation.num_envs=0"], ["evaluation.num_envs=0", "at least 1"]),
    (["beta.end=inf"], ["beta.end=inf", "at least 0"]),
    (["network/actor=mlq"], ["network/actor/mlq", "mlp"]),
    (["batch_size=5000", "dataset.episodes=4"], ["batch_size=5000", "800"]),
]


@pytest.mark.parametrize(("overrides", "named"), REFUSED, ids=lambda value: " ".join(value))
def test_wrong_input_ends_in_one_sentence_that_names_field_value_and_what_is_allowed(
    overrides: list[str], named: list[str], cli: Cli, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli("tracking=disabled", *overrides)
    message = capsys.readouterr().err.strip()
    assert stop.value.code == 2
    assert message.startswith("error: ") and "\n" not in message and "Traceback" not in message
    for part in named:
        assert part in message
    assert not list(tmp_path.iterdir())


def test_the_exit_code_reaches_the_shell(tmp_path: Path) -> None:
    command: list[Any] = [sys.executable, ROOT / "run.py", "q.discount=2", f"hydra.run.dir={tmp_path}"]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.returncode == 2 and answer.stderr.startswith("error: q.discount=2.0")


def test_a_folder_that_holds_a_run_is_left_alone(
    cloned: Path, cli: Cli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = shutil.copytree(cloned, tmp_path / "run")
    before = (directory / "metrics.jsonl").read_bytes()
    with pytest.raises(SystemExit):
        cli(*TINY, "offline.updates=0", "online.env_steps=0", "seed=1")
    assert "holds a run that began with other values: seed (0 → 1)" in capsys.readouterr().err
    assert (directory / "metrics.jsonl").read_bytes() == before
