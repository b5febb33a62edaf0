"""What every agent must do, over the registry of agents: a new one is tested as soon as it is registered."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from agent_states import first_state, opinionated
from conftest import (
    TINY,
    Cli,
    box_spaces,
    metrics_of,
    summary_of,
    with_agent,
    without_times,
)
from corridors import write_line
from torch import Tensor
from torch.utils import _pytree as pytree

from rql.agents.base import Agent, TrainingStage
from rql.agents.build import build_agent
from rql.agents.saving import read_checkpoint, save_agent
from rql.config.explain import REQUEUE
from rql.config.registry import choices
from rql.config.schema import Config
from rql.data.batch import MC_RETURN, NEXT_ACTION, Batch
from rql.envs.spaces import ContinuousSpec, DiscreteSpec, Spaces
from rql.runs.interruption import Interruption
from rql.training.compiled import trace
from rql.training.operations import operations_of, tensors_of
from rql.utils.errors import ConfigError, Preempted
from rql.utils.tree import filled

AGENTS = sorted(choices()["agent"])
LIKE = {"rebrac": "td3_bc", "cql": "sac", "cal_ql": "sac", "edac": "sac", "awac": "iql"}
"""Agents that run as another does: whole runs of that one stand for theirs."""
RUN = [name for name in AGENTS if name not in LIKE]
OBS, DIMS, ROWS = 3, 2, 8
CPU = torch.device("cpu")
SPACES = {
    "continuous": box_spaces(OBS, ContinuousSpec(-np.ones(DIMS, np.float32), np.ones(DIMS, np.float32), (DIMS,))),
    "discrete": box_spaces(OBS, DiscreteSpec(4, 0)),
}
SMALL = ["network.actor.hidden=[8]", "network.critic.hidden=[8]"]


class Case:
    """An agent of random weights at the start of each of its stages, and a batch."""

    def __init__(self, name: str, spaces: Spaces, seed: int = 0) -> None:
        self.config: Config = with_agent(name, *SMALL)
        torch.manual_seed(seed)
        self.spaces = spaces
        self.agent: Agent[Any] = build_agent(self.config, spaces, CPU)
        self.draws = torch.Generator().manual_seed(seed)
        obs, next_obs = (torch.randn(ROWS, OBS, generator=self.draws) for _ in range(2))
        reward = torch.randn(ROWS, generator=self.draws)
        terminated = torch.tensor([1.0] + [0.0] * (ROWS - 1))
        known = {MC_RETURN: reward, NEXT_ACTION: self._action(), f"{NEXT_ACTION}_mask": 1.0 - terminated}
        extra = known if self.agent.needs else {}
        self.batch = Batch(obs, self._action(), reward, next_obs, terminated, torch.ones(ROWS), extra)

    def stages(self) -> list[tuple[TrainingStage[Any], Any]]:
        """Each stage with a state at its start."""
        state, found = first_state(self.agent, self.spaces), []
        for stage in self.agent.stages:
            state = stage.enter(state)
            found.append((stage, state))
        return found

    def inputs(self, stage: TrainingStage[Any], state: Any) -> tuple[Any, Batch, Any, Any]:
        """What an update of a stage takes."""
        hparams = self.agent.hparams(stage.info.name, 1)
        return state, self.batch, stage.noise(ROWS, hparams, self.draws), hparams

    def _action(self) -> Tensor:
        if isinstance(self.spaces.action, DiscreteSpec):
            return torch.randint(self.spaces.action.count, (ROWS,), generator=self.draws)
        return torch.rand(ROWS, DIMS, generator=self.draws) * 1.8 - 0.9


def tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]


def same(one: Any, other: Any) -> bool:
    return all(torch.equal(a, b) for a, b in zip(tensors(one), tensors(other), strict=True))


def with_hparams(update: Any, hparams: Any) -> Any:
    """An update as a function of what the members of a population have for themselves."""
    return lambda state, batch, noise: update(state, batch, noise, hparams)


@pytest.fixture(params=[(name, kind) for name in AGENTS for kind in SPACES], ids=lambda pair: "-".join(pair))
def pair(request: Any) -> tuple[str, Spaces]:
    """An agent's name and the spaces that it is built for."""
    name, kind = request.param
    return name, SPACES[kind]


def case_of(pair: tuple[str, Spaces], seed: int = 0) -> Case | None:
    """The case, or None where the agent refuses these actions by name, as it must then."""
    try:
        return Case(*pair, seed)
    except ConfigError as error:
        assert str(error).startswith(f"agent={pair[0]} is not possible: ")
        return None


def test_its_stages_and_policies_are_those_of_its_table(pair: tuple[str, Spaces]) -> None:
    if case := case_of(pair):
        assert [stage.info for stage in case.agent.stages] == list(case.config.agent.stages)
        assert case.agent.policies.keys() == case.config.agent.policies.keys()
        for stage in case.agent.stages:
            assert {stage.info.policy, stage.warmup_policy or stage.info.policy} <= case.agent.policies.keys()


def test_an_update_is_a_pure_function_that_changes_the_state(pair: tuple[str, Spaces]) -> None:
    if case := case_of(pair):
        for stage, state in case.stages():
            for update in stage.cycle:
                inputs = case.inputs(stage, state)
                before = pytree.tree_map(lambda leaf: leaf.clone(), (inputs[0], inputs[1]))
                first, second = update(*inputs), update(*inputs)
                assert same(first, second) and same(before, (inputs[0], inputs[1]))
                assert not same(first[0], state) and type(first[0]) is type(state)
                assert all(value.ndim == 0 and value.isfinite() for value in first[1].values())


def test_an_update_is_traced_once_for_all_numbers(pair: tuple[str, Spaces]) -> None:
    """Traced as `compile=on` has it, and found again by the operations; the code that is generated from it is left out,
    for that takes long.
    """
    if case := case_of(pair):
        for stage, state in case.stages():
            for update in set(stage.cycle):
                inputs = case.inputs(stage, state)
                traced, operations = trace(update, *inputs), operations_of(update, *inputs)
                for _ in range(2):
                    inputs = case.inputs(stage, state)
                    expected, metrics = update(*inputs)
                    assert operations.metrics == tuple(metrics)
                    given = [tensor.clone() for tensor in tensors_of(*inputs)]
                    (values,) = traced(*given)
                    torch.testing.assert_close(values, torch.stack([*metrics.values()]))
                    for a, b in zip(given, tensors_of(expected), strict=False):  # the state comes first
                        torch.testing.assert_close(a, b)
                    state = expected
                assert operations_of(update, *inputs) == operations


def test_a_population_trained_by_vmap_is_its_members_trained_alone(pair: tuple[str, Spaces]) -> None:
    members = [case for seed in (0, 1) if (case := case_of(pair, seed))]
    for number in range(len(members[0].agent.stages) if members else 0):
        stage = members[0].stages()[number][0]
        inputs = [case.inputs(*case.stages()[number]) for case in members]
        stacked = pytree.tree_map(lambda *parts: torch.stack(parts), *[one[:3] for one in inputs])
        for update in stage.cycle:
            together = torch.vmap(with_hparams(update, inputs[0][3]))(*stacked)
            for member, one in enumerate(inputs):
                alone = update(*one)
                for a, b in zip(tensors(alone), tensors(together), strict=True):
                    torch.testing.assert_close(a, b[member], rtol=1e-4, atol=1e-5)


def test_terminated_stops_bootstrapping_and_the_next_observation_counts_elsewhere(pair: tuple[str, Spaces]) -> None:
    if case := case_of(pair):
        for stage, state in case.stages():
            if stage.info.baseline:
                continue
            state = opinionated(state) if "target" in state._fields else state  # Q of some begins at 0 everywhere
            inputs = case.inputs(stage, state)
            other = case.batch._replace(next_obs=case.batch.next_obs + 1.0)
            for flag in (torch.ones(ROWS), torch.zeros(ROWS)):
                losses = [
                    stage.cycle[0](state, batch._replace(terminated=flag), *inputs[2:])[1]["td_loss"]
                    for batch in (case.batch, other)
                ]
                assert (losses[0] == losses[1]) == bool(flag[0])


def test_its_policies_act_within_the_space(pair: tuple[str, Spaces]) -> None:
    if case := case_of(pair):
        _, state = case.stages()[-1]
        for policy in case.agent.policies.values():
            noise = policy.noise(ROWS, case.draws)
            modes = [policy.act(state, case.batch.obs, {}, True) for _ in range(2)]
            sample = policy.act(state, case.batch.obs, noise, False)
            assert torch.equal(*modes)
            for action in (modes[0], sample):
                assert action.shape == case.batch.action.shape and action.dtype == case.batch.action.dtype
                assert not case.spaces.action.outside(action.numpy()).any()
            if policy.value is not None:
                assert policy.value(state, case.batch.obs, sample).shape == (ROWS,)


def test_a_file_holds_the_whole_state(pair: tuple[str, Spaces], tmp_path: Path) -> None:
    if case := case_of(pair):
        stage, state = case.stages()[-1]
        trained, _ = stage.cycle[-1](*case.inputs(stage, state))
        save_agent(tmp_path / "agent.pt", trained, case.config, stage.info.name)
        read = read_checkpoint(tmp_path / "agent.pt")
        assert read.stage == stage.info.name and read.config == case.config
        assert same(filled(state, read.tensors), trained)


LINE = [
    *("env.id=RQLTestLine-v0", "dataset=minari", "tracking=disabled", "batch_size=64", "q.tau=0.05", "q.discount=0.9"),
    *("network.actor.hidden=[32]", "network.critic.hidden=[32]", "bc.updates=300", "bc.learning_rate=0.01"),
    *("q.learning_rate=0.01", "offline.updates=300", "offline.eval_every=0", "online.env_steps=400"),
    *("online.warmup_fraction=0.1", "online.eval_every=0", "evaluation.boundary_episodes=10"),
]
OF_AGENT = {
    "rql": ["beta=linear", "beta.start=1", "beta.end=5", "composition.learning_rate=0.01"],
    "iql": ["agent.expectile=0.9", "agent.temperature=10", "agent.actor_learning_rate=0.01"],
    "td3_bc": ["agent.alpha=10", "agent.actor_learning_rate=0.003"],
    "sac": ["agent.actor_learning_rate=0.01", "agent.initial_temperature=0.1"],
    "expo": ["agent.scale=2", "agent.actor_learning_rate=0.01", "agent.initial_temperature=0.1"],
    "resfit": ["agent.scale=2", "agent.noise=0.3", "agent.actor_learning_rate=0.01"],
}


@pytest.fixture
def line_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    return write_line(tmp_path)


@pytest.mark.parametrize("name", RUN)
def test_it_learns_the_end_of_a_corridor_that_pays(name: str, line_data: str, cli: Cli) -> None:
    directory = cli(*LINE, f"agent={name}", *OF_AGENT.get(name, []), f"dataset.id={line_data}")
    summary, stages = summary_of(directory), choices()["agent"][name].schema.stages
    for info in stages:
        expected = 0.0 if info.baseline else 0.9
        assert summary[f"{info.name}/return"] >= expected, info.name


@pytest.mark.parametrize("name", RUN)
def test_a_run_that_is_cut_off_anywhere_goes_on_as_if_nothing_had_happened(
    name: str, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = [*TINY, f"agent={name}", "seed=1"]
    whole = metrics_of(cli(*overrides, name="whole"))
    left = [4, 9, 7, 12]

    def check(self: Interruption) -> None:
        left[0] -= 1
        if left[0] == 0:
            left.pop(0)
            raise Preempted("SIGTERM")

    monkeypatch.setattr(Interruption, "check", check)
    while len(left) > 1:
        try:
            directory = cli(*overrides, name="cut off")
        except SystemExit as stop:
            assert stop.code == REQUEUE
        else:
            break
    left[:] = [10**9]
    directory = cli(*overrides, name="cut off")
    attempts = json.loads((directory / "run.json").read_text())["attempts"]
    assert len(attempts) > 1
    assert without_times(metrics_of(directory)) == without_times(whole)
