"""What people type who know other packages, or Hydra a little: one sentence, with what they meant."""

from pathlib import Path

import pytest
from conftest import compose_config
from counter_env import Counter
from gymnasium.envs.registration import register, registry
from hydra.errors import HydraException
from made_runs import write_run
from omegaconf import OmegaConf

from rql.__main__ import main as rql_main
from rql.config.collect import CollectConfig
from rql.config.data import EnvConfig
from rql.config.explain import explain, is_about_composing
from rql.config.hints import MEANT, hint, keys_of
from rql.config.overrides import refuse_impossible_overrides, refuse_moved_paths
from rql.config.schema import Config
from rql.envs.make import inspect_env, make_env
from rql.runs.folder import Command
from rql.runs.resume import resumed
from rql.utils.errors import ConfigError, RQLError

NAMES = "one of light, off, seed, strong; cql.KEY=VALUE sets one of its keys"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        *(
            (f"cql={value}", f"cql={value} is not possible: {NAMES}")
            for value in ("1e-3", "3", "true", "null", "range(3)")
        ),
        ("cql=off,1e-3", f"cql=off,1e-3 is not possible: {NAMES}"),
        ("+cql=1e-3", f"cql=1e-3 is not possible: {NAMES}"),
        ("~cql=1", f"cql=1 is not possible: {NAMES}"),
        ("network/actor=3", "one of mlp, resnet; network.actor.KEY=VALUE"),
        ("=3", "=3 has no key: an override is KEY=VALUE or GROUP=CHOICE"),
    ],
)
def test_a_group_takes_the_name_of_a_choice(typed: str, said: str) -> None:
    with pytest.raises(RQLError) as error:
        refuse_impossible_overrides(["seed=1", typed])
    assert said in str(error.value)


def test_what_hydra_understands_is_left_to_it() -> None:
    fine = ["cql=off", "cql=off,light", "cql=glob(*)", "~cql", "cql={alpha: 1}", "cql.alpha=1e-3", "seed=range(3)"]
    refuse_impossible_overrides([*fine, "-m", "q.tau=interval(0,1)", "x=[", "own=3", "experiment=pendulum_scratch"])


def test_your_own_choices_are_named_too(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "first.yaml").write_text("")
    with pytest.raises(ConfigError, match="mine=3 is not possible: one of first;"):
        refuse_impossible_overrides(["mine=3"], [tmp_path])


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("gamma", "q.discount"),
        ("q.gamma", "q.discount"),
        ("learning_rate", "bc.learning_rate or baseline.learning_rate or q.learning_rate or composition.learning_rate"),
        ("lr", "bc.learning_rate or baseline.learning_rate or q.learning_rate or composition.learning_rate"),
        ("q.lr", "q.learning_rate"),
        ("tau", "q.tau"),
        ("alpha", "cql.alpha"),
        ("epochs", "bc.updates or offline.updates"),
        ("bc.epochs", "bc.updates"),
        ("num_steps", "online.env_steps"),
        ("total_timesteps", "online.env_steps"),
        ("hidden", "network.actor.hidden or network.critic.hidden"),
        ("evaluation.device", "device"),
    ],
)
def test_keys_of_other_packages_lead_to_those_of_this_one(typed: str, meant: str) -> None:
    keys = set(keys_of(Config))
    assert typed not in keys and keys.issuperset(meant.split(" or "))
    assert hint(typed, OmegaConf.structured(compose_config())) == f" Did you mean {meant}?"


def test_no_hint_leads_to_a_key_that_is_gone_or_away_from_one_that_is_there() -> None:
    keys = set(keys_of(Config))
    assert {"seed", "device", "cql.alpha", "beta.budget_end", "network.critic.hidden", "env.kwargs"} <= keys
    for name, end in MEANT.items():
        assert any(f".{key}".endswith(f".{end}") for key in keys), end
        assert not any(f".{key}".endswith(f".{name}") for key in keys), name
    assert hint("nonsense", OmegaConf.structured(Config)) == "" == hint("gamma", OmegaConf.structured(CollectConfig))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "gamma=0.9"], "gamma: Key 'gamma' not in 'Config'. Did you mean q.discount? Its keys are: agent,"),
        (["train", "+gamma=0.9"], "there is no such key; + adds to env.kwargs alone. Did you mean q.discount?"),
        (["train", "cql=1e-3"], f"cql=1e-3 is not possible: {NAMES}"),
        (["train", "hydra/launcher=3"], "Config group override must be a string or a list"),
        (["train", "--config-name=nope"], "Cannot find primary config 'nope'"),
        (["train", "seed=1", "-m", "--cfg", "job"], "--multirun and --cfg cannot be given together"),
        (["train", "--info", "--shell-completion"], "--info and --shell-completion cannot be given together"),
        (["collect", "seed=1", "-m", "--cfg", "job"], "--multirun and --cfg cannot be given together"),
        (["collect", "env=3"], "env=3 is not possible: one of acrobot, "),
        (["train", "--config-dir=nowhere"], "Additional config directory '"),
        (["train", "--help", "--config-dir=nowhere"], "Additional config directory '"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_the_command_line_cannot_do_is_one_sentence(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        rql_main(arguments)
    message = capsys.readouterr().err
    assert stop.value.code == 2 and message.startswith("error: ") and message.count("\n") == 1
    assert said in message


def test_a_search_without_a_sweeper_that_searches_says_which_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["run.py", "-m", "q.tau=interval(0,1)"])
    said = explain(HydraException("BasicSweeper does not support sweep type : INTERVAL_SWEEP"))
    assert said.startswith("q.tau=interval(0,1) is not possible: ") and "sweep=optuna" in said and "range(" in said


def test_errors_of_other_code_keep_their_stack_trace() -> None:
    with pytest.raises(ValueError) as error:
        int("own")
    assert not is_about_composing(error.value)


def test_a_relative_path_after_a_change_of_directory_is_named_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "set.hdf5").write_text("")
    (tmp_path / "demo").mkdir()
    (tmp_path / "outputs").mkdir()
    monkeypatch.chdir(tmp_path / "outputs")
    refuse_moved_paths(["dataset=demo", "tracking.name=a/b", "dataset.path=/etc/hosts"], tmp_path)
    for key in ("dataset.path", "+env.kwargs.file"):
        with pytest.raises(ConfigError) as error:
            refuse_moved_paths(["seed=1", f"{key}=data/set.hdf5"], tmp_path)
        wanted = f"{key.lstrip('+')}=data/set.hdf5 is not possible: {tmp_path / 'data' / 'set.hdf5'}, for with"
        assert str(error.value).startswith(wanted) and "hydra.job.chdir=true" in str(error.value)
    monkeypatch.chdir(tmp_path)
    refuse_moved_paths(["dataset.path=data/set.hdf5"], tmp_path)


def test_a_run_goes_on_with_its_own_configuration_alone(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", 0)
    with pytest.raises(
        ConfigError, match=r"--config-name=mine is not possible: config, with which the run in .* began"
    ):
        resumed(run, Command("mine"))


@pytest.mark.parametrize(
    ("kwargs", "said"),
    [
        ({"where": "made", "error": AssertionError()}, "it failed with AssertionError"),
        ({"where": "made", "error": KeyError("nope")}, "it failed with KeyError 'nope'"),
        ({"where": "made", "error": ZeroDivisionError("by zero\nat 1")}, "it failed with ZeroDivisionError by zero"),
        (
            {"where": "reset", "error": AssertionError()},
            "step of RQLTestFailing-v0 failed with AssertionError",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_whatever_an_environment_raises_names_its_arguments(
    kwargs: dict[str, object], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(Counter):
        def __init__(self, where: str = "", error: Exception | None = None) -> None:
            self.error = error or Exception()
            if where == "made":
                raise self.error

        def reset(self, **_: object) -> tuple[object, dict[str, object]]:
            raise self.error

    monkeypatch.setattr("gymnasium.envs.registration.registry", dict(registry))
    register("RQLTestFailing-v0", lambda **kwargs: Failing(**kwargs), disable_env_checker=True)
    config = EnvConfig("RQLTestFailing-v0", kwargs=kwargs)
    with pytest.raises(ConfigError) as error:
        (make_env if kwargs["where"] == "made" else inspect_env)(config)
    assert str(error.value).startswith("env.kwargs={") and str(error.value).endswith(said)


def test_a_shell_is_told_what_rql_train_can_go_on_with(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COMP_LINE", "rql train beta=li")
    assert rql_main(["-sc", "query=bash"]) == 0
    assert capsys.readouterr().out.split() == ["beta=linear"]


def test_a_preset_may_be_none() -> None:
    refuse_impossible_overrides(["experiment=null", "ablation=cql_off,null"])
    with pytest.raises(RQLError, match="cql=null is not possible"):
        refuse_impossible_overrides(["cql=null"])
