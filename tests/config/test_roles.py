"""The role of a key has one meaning: for the jobs of a sweep, the arms of a report, and what a run can go on with."""

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from conftest import ROOT, compose_config, sweeping

from rql.config.agents.base import AgentConfig, AgentTable, StageInfo
from rql.config.agents.rql import RQLConfig
from rql.config.compose import choices_of, from_plain, register_schemas, to_plain
from rql.config.document import document
from rql.config.registry import choices, register
from rql.config.roles import experiment, flat, may_change, role_of
from rql.config.schema import Config
from rql.config.settings import Role
from rql.reports.grouping import find_factors
from rql.reports.runs import Run, RunStatus, read_runs
from rql.runs.folder import refuse_fixed
from rql.sweep.identity import identity
from rql.sweep.plan import arms, parse
from rql.utils.errors import RQLError

RESULT = [
    *("seed=7", "q.tau=0.02", "beta.end=2", "dataset.episodes=5", "env.num_envs=2", "evaluation.mode=sample"),
    *("replay.capacity=5000", "network.critic.hidden=[8]", "+env.kwargs.g=9", "dataset.unfinished=drop"),
    *("dataset.actions=clip", "env.flatten_images=true", "evaluation.max_episode_steps=500"),
    "env.headline=success",
]
BUDGET = [
    *("online.env_steps=6000", "online.stop_return=-200", "watchdog.learning_rate_factor=0.1"),
    *("watchdog.action=roll_back", "watchdog.max_q=5", "watchdog.max_rollbacks=9", "online.stop_success=0.9"),
]
HOW = [
    *(
        "device=cuda",
        "threads=2",
        "resume=never",
        "compile=on",
        "precision=float32",
        "imports=[json]",
        "tracking.mode=disabled",
        "checkpoint.steps=5",
    ),
    *("jobs.prune=true", "dataset.root=x", "dataset.cache=x", "dataset.download=false", "env.vectorization=subprocess"),
    *("env.step_timeout=5", "env.max_restarts=1", "bc.eval_every=5", "offline.eval_every=5", "online.eval_every=5"),
    *("evaluation.episodes=3", "evaluation.boundary_episodes=3", "evaluation.num_envs=3", "online.save_replay=a/b-v0"),
]

NEEDED = {"online.stop_success": "env.headline=success"}
"""Without which a key has one possible value."""


def finished(folder: Path, config: Config) -> None:
    """The records of a run that is over."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(to_plain(config)))
    described = {"config_name": "config", "choices": choices_of(config)} | AgentTable.of(config.agent).to_plain()
    (folder / "run.json").write_text(json.dumps(described))
    (folder / "metrics.jsonl").write_text(json.dumps({"stage": "online", "step": 1, "return": 1.0}) + "\n")
    (folder / "summary.json").write_text("{}")


def two_runs(folder: Path, *configs: Config) -> list[Run]:
    for number, config in enumerate(configs):
        finished(folder / str(number), config)
    return read_runs([folder])


@pytest.mark.parametrize("override", RESULT)
def test_what_decides_the_result_is_another_job_and_another_arm_and_cannot_change(
    override: str, tmp_path: Path
) -> None:
    assert told(override, tmp_path) == (Role.result, "another job", "another run", "cannot change")


@pytest.mark.parametrize("override", BUDGET)
def test_what_decides_how_far_a_run_goes_is_another_job_and_another_arm_and_may_change(
    override: str, tmp_path: Path
) -> None:
    assert told(override, tmp_path) == (Role.budget, "another job", "another run", "may change")


@pytest.mark.parametrize("override", HOW)
def test_how_a_run_works_is_the_same_job_and_a_duplicate_and_may_change(override: str, tmp_path: Path) -> None:
    assert told(override, tmp_path) == (Role.how, "the same job", "a duplicate", "may change")


def told(override: str, folder: Path) -> tuple[Role, str, str, str]:
    """The role of a key, and what the sweep, the report and the folder of a run make of another value."""
    key = override.lstrip("+").partition("=")[0]
    needed = [NEEDED[key]] if key in NEEDED else []
    before, after = compose_config(*needed), compose_config(*needed, override)
    job = "the same job" if identity(before) == identity(after) else "another job"
    runs = two_runs(folder, before, after)
    duplicates = [run for run in runs if run.status is RunStatus.duplicate]
    found = {name for factor in find_factors(runs, None) for name in (factor.name, *factor.also)}
    assert (key in found) == (not duplicates and key != "seed")
    try:
        refuse_fixed(folder, {key: (None, None)}, choices_of(after))
        changing = "may change"
    except RQLError:
        changing = "cannot change"
    return role_of(key, choices_of(after)), job, "a duplicate" if duplicates else "another run", changing


def test_the_lists_above_have_every_key_that_is_not_of_the_result() -> None:
    config = compose_config("checkpoint.steps=5")
    others = {key for key in flat(to_plain(config)) if role_of(key, choices_of(config)) is not Role.result}
    listed = {override.partition("=")[0] for override in (*BUDGET, *HOW)}
    whole = ("tracking", "checkpoint", "jobs")
    assert {key for key in others if not key.startswith(whole)} == {key for key in listed if not key.startswith(whole)}
    assert {key for key in flat(to_plain(config)) if key.startswith(whole)} <= others


@pytest.fixture
def cloner() -> Iterator[None]:
    """An agent that reads nothing but the policy and how it is cloned."""

    @register("agent", "cloner", implementation=None)
    @dataclass
    class ClonerConfig(AgentConfig):
        stages: ClassVar[tuple[StageInfo, ...]] = RQLConfig.stages
        reads: ClassVar[frozenset[str]] = frozenset({"policy", "bc"})

    register_schemas()
    yield
    del choices()["agent"]["cloner"]


@pytest.mark.usefixtures("cloner")
def test_what_the_agent_does_not_read_is_no_part_of_its_experiment(tmp_path: Path) -> None:
    linear = compose_config("agent=cloner", "beta=linear", "cql=off")
    constant = compose_config("agent=cloner", "beta=constant", "cql=strong")
    assert identity(linear) == identity(constant)
    assert [run.status for run in two_runs(tmp_path, linear, constant)] == [RunStatus.finished, RunStatus.duplicate]
    assert may_change("beta", choices_of(linear)) and may_change("cql.alpha", choices_of(linear))
    kept = experiment(to_plain(linear), choices_of(linear))
    assert kept["agent"] == "cloner" and "bc.updates" in kept and "dataset" in kept
    assert not {"beta", "beta.start", "cql.alpha", "target", "composition.learning_rate"} & kept.keys()
    other = compose_config("agent=cloner", "bc.updates=5")
    assert identity(other) != identity(linear) != identity(compose_config("cql=off"))


@pytest.mark.usefixtures("cloner")
def test_agents_are_one_factor_whatever_they_read(tmp_path: Path) -> None:
    runs = two_runs(tmp_path, compose_config("agent=cloner"), compose_config("agent=rql"))
    (factor,) = find_factors(runs, None)
    assert factor.name == "agent" and factor.values == ("cloner", "rql")


@pytest.mark.usefixtures("cloner")
def test_a_sweep_has_one_job_where_its_agent_reads_nothing_of_what_is_swept() -> None:
    with sweeping() as sweep:
        assert len(arms(sweep, parse({}, ["agent=cloner,rql", "beta=linear,constant"]))) == 3


def test_a_run_whose_choice_is_not_known_here_is_refused_in_one_sentence() -> None:
    config = compose_config()
    with pytest.raises(RQLError, match=r"^beta=cubic is not possible: .*imports=\[MODULE\]"):
        from_plain(to_plain(config), choices_of(config) | {"beta": "cubic"})


def test_docs_have_every_key_as_the_schema_says() -> None:
    page = (ROOT / "docs" / "reference" / "config.md").read_text(encoding="utf-8")
    assert page == document(), "python -m rql.config.document > docs/reference/config.md"
    for row in page.splitlines():
        if row.startswith("| `"):
            assert not row.endswith("|  |"), f"{row} has no meaning: a docstring under the field gives it"


def test_a_section_lends_its_keys_its_role() -> None:
    fields: dict[str, Any] = {field.name: field for field in dataclasses.fields(Config)}
    assert fields["tracking"].metadata["role"] is Role.how
    assert role_of("tracking.project", {}) is Role.how and role_of("evaluation.mode", {}) is Role.result
