"""What a sweep is going to do: named, checked and refused before any job."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, Launch, compose_config, sweeping
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode

from rql.commands import sweep as command
from rql.config.compose import to_plain
from rql.config.files import composing
from rql.config.launchers import register_launchers
from rql.config.running import TrackingConfig
from rql.config.settings import checks_of
from rql.config.validate import refuse_impossible
from rql.sweep.folder import jobs_of, open_sweep, read_sweep
from rql.sweep.identity import folder_name, identity, sweep_name
from rql.sweep.jobs import JobStatus
from rql.sweep.plan import arms, base_of, parse, plan_of
from rql.utils.errors import ConfigError, RQLError


def test_the_identity_of_a_job_is_what_decides_what_it_finds() -> None:
    one = identity(compose_config("seed=1"))
    for same in (
        "tracking=disabled",
        "device=cuda",
        "threads=2",
        "checkpoint.steps=5",
        "dataset.root=x",
        "resume=never",
    ):
        assert identity(compose_config("seed=1", same)) == one
    for other in ("seed=2", "beta=cosine", "q.tau=0.02", "dataset.episodes=5", "+env.kwargs.g=9"):
        assert identity(compose_config("seed=1", other)) != one


def test_the_folder_of_a_sweep_stays_as_values_are_added() -> None:
    base = {"seed": 0, "q.tau": 0.1, "beta": "linear", "beta.end": 1.0}
    name = sweep_name(base, ["beta"], None)
    assert name.startswith("beta+seed-")
    assert name == sweep_name({"seed": 3, "q.tau": 0.1, "beta": "constant", "beta.value": 2}, ["seed", "beta"], None)
    assert name != sweep_name(base | {"q.tau": 0.2}, ["beta"], None)
    assert sweep_name(base, ["beta"], "grid").startswith("grid-")


DEMO = ["dataset=demo", "batch_size=16"]
FEW = ["dataset.episodes=4", "++env.kwargs.max_episode_steps=40"]
parse_overrides = OverridesParser.create().parse_overrides


def _of_another_sweep(directory: Path) -> None:
    directory.mkdir()
    sweep: dict[str, Any] = {"base": {"q.tau": 0.5, "seed": 3}, "choices": {}, "swept": ["beta"]}
    sweep |= {"jobs": [], "launches": []}
    (directory / "sweep.json").write_text(json.dumps(sweep))


def _of_a_run(directory: Path) -> None:
    directory.mkdir()
    (directory / "config.yaml").write_text("seed: 1")


def _damaged(directory: Path) -> None:
    directory.mkdir()
    (directory / "sweep.json").write_text("{")


@pytest.mark.parametrize(
    ("prepare", "overrides", "said"),
    [
        (None, ["beta.ende=1,2"], "beta.ende: Key 'ende' not in 'LinearBetaConfig'. Its keys are: start, end"),
        (None, ["seed=0,1", "betta=linear"], "betta"),
        (None, ["network=small,huge"], "huge"),
        (None, ["cql.alpha=1e-3,-1"], "cql.alpha=-1.0 is not possible: at least 0 (in the job cql.alpha=-1; no job"),
        (None, ["seed=0,x"], "seed"),
        (Path.touch, ["seed=0,1"], "the sweep cannot be recorded in"),
        (_of_another_sweep, ["seed=0,1"], "holds a sweep with other values: "),
        (_of_another_sweep, ["q.tau=0.1,0.2"], "holds a sweep over beta, and not q.tau"),
        (_of_a_run, ["seed=0,1"], "holds a single run"),
        (_damaged, ["seed=0,1"], "sweep.json cannot be read"),
        (None, ["seed=0,1", "hydra/launcher=ray"], "pip install 'rql[ray]'"),
    ],
)
def test_what_cannot_be_swept_is_refused_before_any_job(
    prepare: Callable[[Path], None] | None,
    overrides: list[str],
    said: str,
    tmp_path: Path,
    launch: Launch,
    capsys: Any,
) -> None:
    if prepare:
        prepare(tmp_path / "sweep")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    launch(*overrides, code=2)
    found = capsys.readouterr().err.strip()
    assert found.startswith("error: ") and said in found and "\n" not in found
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["status", "/no/where"], "/no/where holds no sweep"),
        (["retry", "/no/where"], "/no/where holds no sweep"),
        (["statu", "."], "invalid choice"),
        (["plan", "seed=0,1", "q={tau: 0.1}", "q={discount: 0.9}"], "q={tau:0.1} and {discount:0.9} is not possible"),
        (["plan", "-cd", "OWN", "experiment=parallel,null"], "hydra/launcher=joblib is not possible: basic in a job"),
        (["plan", "q.tau=0.1,0.2", "jobs.seeds=[0,1]"], "jobs.seeds=[0, 1] is not possible: empty in a grid"),
        (
            ["plan", "env=cartpole,hopper", *DEMO, *FEW],
            "InvertedPendulum-v5 have; see dataset=minari (in the job env=hopper; no job was started)",
        ),
        (
            ["plan", "hydra/sweeper=optuna", "env=cartpole,hopper", "q.tau=interval(0.1,0.3)", *FEW, *DEMO],
            "InvertedPendulum-v5 have; see dataset=minari (in the job env=hopper q.tau=0.2; no job was started)",
        ),
        (
            ["plan", "hydra/sweeper=optuna", "q.tau=interval(1.5,2)"],
            "q.tau=1.75 is not possible: in [0, 1] (in the job",
        ),
        (["plan", "batch_size=4000,16", *FEW], "at most 160, the transitions of data set rql/pendulum"),
        (["plan", "hydra.sweep.subdir='${hydra.job.num}'"], "hydra.sweep.subdir=${hydra.job.num} is not possible"),
        (
            ["plan", "seed=0,1", "tracking.name='${hydra:job.override_dirname}'"],
            "hydra.job.override_dirname refers to itself; hydra.job.config.override_dirname.exclude_keys=[KEY] leaves",
        ),
        (["plan", "resume=outputs/x"], "resume=outputs/x is not possible: auto or never in a sweep"),
        (["plan", "seed=0,1", "q.tao=0.1"], "q.tao: Key 'tao' not in 'QConfig'"),
        (["plan", "seed=0,1", "q.tau=2"], "q.tau=2.0 is not possible: in [0, 1]"),
        ([], "required: COMMAND"),
    ],
)
def test_what_the_command_cannot_do_it_says(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiment").mkdir()
    preset = "# @package _global_\ndefaults: [override /hydra/launcher: joblib]\n"
    (tmp_path / "experiment" / "parallel.yaml").write_text(preset)
    with pytest.raises(SystemExit) as stop:
        command.main([str(tmp_path) if word == "OWN" else word for word in arguments])
    assert stop.value.code == 2 and said in capsys.readouterr().err
    assert not (tmp_path / "multirun").exists()


@pytest.mark.parametrize(
    ("tracking", "said"),
    [
        (TrackingConfig(project="a/b"), "project=a/b is not possible: 1 to 128 characters without / \\ # ? % :"),
        (TrackingConfig(name="n" * 129), "is not possible: 1 to 128 characters"),
        (TrackingConfig(group=""), "group= is not possible: 1 to 128 characters"),
        (TrackingConfig(job_type="t" * 65), "is not possible: 1 to 64 characters"),
    ],
)
def test_a_name_that_wandb_would_refuse_is_an_error(tracking: TrackingConfig, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        refuse_impossible(checks_of(tracking))
    assert said in str(error.value)


def test_the_plan_composes_as_hydra_does() -> None:
    """Interpolations, `glob` and `${hydra:…}` are those of the job that Hydra will run."""
    typed = ["beta=glob(c*)", "seed=3,4", "dataset.keep.seed=${seed}", "tracking.name='${hydra:job.override_dirname}'"]
    with sweeping("hydra.job.config.override_dirname.exclude_keys=[tracking.name]") as sweep:
        jobs = arms(sweep, parse({}, [*typed, "tracking.notes='${hydra:job.num}'"]))
    assert [job.choices["beta"] for job in jobs] == ["constant", "constant", "cosine", "cosine"]
    assert [job.config["seed"] for job in jobs] == [3, 4, 3, 4]
    assert [job.config["dataset"]["keep"]["seed"] for job in jobs] == [3, 4, 3, 4]
    assert [job.config["tracking"]["notes"] for job in jobs] == ["0", "1", "2", "3"]
    assert jobs[0].config["tracking"]["name"].startswith("beta=constant,dataset.keep.seed=")


def test_typed_text_stays_as_it_was_typed(launch: Launch) -> None:
    directory = launch("seed=0,1", "dataset.keep.seed=${seed}", "tracking.notes=a")
    assert [job.status for job in jobs_of(directory)] == [JobStatus.done] * 2
    sweep = read_sweep(directory)
    assert "dataset.keep.seed=${seed}" in sweep.launches[0].task and sweep.base["dataset.keep.seed"] == "${seed}"
    for job in jobs_of(directory):
        run = json.loads((directory / job.folder / "run.json").read_text())
        given = {one.key_or_group: one.value() for one in parse_overrides(run["overrides"])}
        assert given["dataset.keep.seed"] == "${seed}" and run["swept"] == {"seed": job.config["seed"]}
        config = yaml.safe_load((directory / job.folder / "config.yaml").read_text())
        recorded = {**sweep.choices, "beta": "linear", "budget": "demo", "env": "pendulum"}
        assert run["choices"] == config["choices"] == job.choices == recorded


def test_the_plan_of_a_sweep_is_printed_and_nothing_else_happens(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    """Values that belong together are one: an interpolation, or a preset in a folder of the user's own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    for name, rate in (("slow", 1e-4), ("fast", 1e-3)):
        preset = f"# @package _global_\nq: {{learning_rate: {rate}, tau: {rate}}}\n"
        (tmp_path / "own" / "experiment" / f"{name}.yaml").write_text(preset)
    typed = ["-cd", "own", "experiment=slow,fast", "q.n_step=1,3", "bc.learning_rate=${q.learning_rate}"]
    assert command.main(["plan", *typed, "dataset.episodes=4", "batch_size=16"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    rows = [line[1:] for line in lines if line[1:2] == ["new"]]
    assert rows == [["new", name, steps] for name in ("slow", "fast") for steps in ("1", "3")]
    assert lines[-1][:3] == ["4", "jobs,", "in"] and not (tmp_path / "multirun").exists()
    with sweeping(f"hydra.searchpath=['file://{tmp_path / 'own'}']") as sweep:
        jobs = arms(sweep, parse({}, typed[2:]))
    (tmp_path / "own" / "beta").mkdir()
    (tmp_path / "own" / "beta" / "steep.yaml").write_text("defaults: [linear]\nend: 3.0\n")
    assert command.main(["plan", "-cd", "own", "beta=steep,linear", *FEW, "batch_size=16"]) == 0
    search = ["hydra/sweeper=optuna", "q.learning_rate=interval(0,0.001)"]  # of which 0 would be refused
    assert command.main(["plan", *search, *FEW, "batch_size=16"]) == 0
    with sweeping(f"hydra.searchpath=['file://{tmp_path / 'own'}']") as sweep:
        (steep,) = arms(sweep, parse({}, ["beta=steep"]))
    assert steep.choices["beta"] == "steep" and to_plain(steep.recorded().beta)["end"] == 3.0
    rates = [[job.config[section]["learning_rate"] for section in ("q", "bc")] for job in jobs]
    assert rates == [[1e-4, 1e-4]] * 2 + [[1e-3, 1e-3]] * 2


@pytest.mark.parametrize("sampler", ["tpe", "random", "cmaes", "nsgaii", "motpe"])
def test_a_search_maximises_the_return_and_can_be_started_again_wherever_it_is_asked_for(sampler: str) -> None:
    register_launchers()
    with sweeping("hydra/sweeper=optuna", f"hydra/sweeper/sampler={sampler}") as sweep:
        sweeper = sweep.hydra.sweeper
    assert (sweeper.direction, sweeper.study_name, sweeper.sampler.seed) == ("maximize", "rql", 0)
    assert sweeper.max_failure_rate == 1.0 and sweeper.sampler._target_.startswith("optuna.samplers.")


def test_sweeps_that_differ_in_the_choice_of_a_group_alone_are_two() -> None:
    named = {}
    for beta in ("linear", "cosine"):
        with sweeping() as sweep:
            base, choices = base_of(sweep, parse({}, ["seed=0,1", f"beta={beta}"]))
        named[beta] = sweep_name(base, ["seed"], None)
        assert choices["beta"] == beta and "sweep" not in choices
    assert named["linear"] != named["cosine"]


def test_a_sweep_over_one_budget_goes_on_with_several_and_with_one_again(tmp_path: Path) -> None:
    """A preset has values that no swept key names: that they differ is no other sweep, but a typed value is."""
    here = ["jobs.verify=false", f"hydra.sweep.dir={tmp_path / 'sweep'}", "seed=0"]
    for budgets, more in (("short", []), ("short,paper", []), ("paper", []), ("short", ["q.tau=0.1"])):
        with composing():
            loader = GlobalHydra.instance().config_loader()
            words = [*here, f"budget={budgets}", *more]
            plan = plan_of(loader.load_configuration("config", words, RunMode.MULTIRUN))
        if more:
            with pytest.raises(RQLError, match=r"holds a sweep with other values: q\.tau \(0\.005 → 0\.1\);"):
                open_sweep(plan.directory, plan.asked, plan.jobs)
        else:
            together = open_sweep(plan.directory, plan.asked, plan.jobs)
            assert together == read_sweep(plan.directory)
    assert together.swept == ["seed", "budget"] or together.swept == ["budget"]
    assert [job.choices["budget"] for job in jobs_of(plan.directory)] == ["short", "paper"]


def test_a_job_is_named_after_what_is_swept_and_a_name_is_never_too_long() -> None:
    values = {"beta": "linear", "cql.alpha": 3e-4, "network.critic.hidden": [32, 32], "q.normalize": True, "seed": 1}
    name = folder_name(values, "0123456789")
    assert name == "beta-linear+cql.alpha-0.0003+network.critic.hidden-_32_32+q.normalize-true+s1-0123456789"
    (override,) = parse_overrides([f"resume=multirun/{name}"])
    assert override.value() == f"multirun/{name}"
    many = {f"a.key.of.{'β' * 12}.number{i}": i for i in range(12)}
    assert folder_name(many, "x") != folder_name(many | {"a": 1}, "x")
    for long in (folder_name(many, "0123456789"), sweep_name({}, list(many), None)):
        assert 100 < len(long.encode()) < 150


@pytest.mark.parametrize("path", sorted((ROOT / "sweeps").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_sweeps_that_come_with_it_can_run(path: Path) -> None:
    compose_config(f"sweep={path.stem}")
    content = yaml.safe_load(path.read_text())
    assert content["hydra"]["mode"] == "MULTIRUN" and "python run.py sweep=" in path.read_text()
    if path.stem == "optuna":
        return
    fewer = ["agent=rql"] if path.stem == "benchmark" else []
    with sweeping(f"sweep={path.stem}") as sweep:
        jobs = arms(sweep, parse(content["hydra"]["sweeper"]["params"], [f"sweep={path.stem}", "seed=0", *fewer]))
    sizes = {"grid": 12, "seeds": 1, "benchmark": 7, "ablation": 7, "chunks": 4}
    assert len(jobs) == sizes[path.stem]
