"""Priors that propose several actions at a time, to be made one after the other."""

import json
import random
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import kills
import numpy as np
import pytest
import torch
from agent_states import first_state
from conftest import ROOT, TINY, Cli, compose_config, stepped, summary_of
from counter_env import CONFIG, TEST_SPACES
from made_data import CPU
from opened_priors import FINETUNE, command, opened
from strict_prior import Strict, actions_at

import rql
from rql.agents.build import build_agent, deciding
from rql.agents.exporting import load_exported
from rql.commands import export
from rql.data.batch import ACTION_MASK, Draw
from rql.data.columns import PROPOSALS, collected_fields
from rql.data.replay import ReplayBuffer
from rql.envs.training import TrainingEnvs
from rql.priors.base import TRAINING, Prior, Proposer, prior_draws
from rql.training.collector import Collector
from rql.utils.errors import ConfigError, RQLError

LENGTH, EXECUTED, ENVS = 4, 3, 3


def test_chunks_of_a_prior_with_a_memory_are_carried_out_through_10_000_steps(tmp_path: Path) -> None:
    """Batches hold what was made, in order, and what was proposed, whole; masks end where episodes end."""
    named = ["prior=python", "prior.target=strict_prior:make", "prior.trusted=true", "env.id=RQLTestCounter-v0"]
    chunk = [f"chunk.length={LENGTH}", f"chunk.execute={EXECUTED}"]
    config = compose_config("experiment=finetune", *named, *chunk, f"dataset.cache={tmp_path}")
    strict = Strict(LENGTH)
    prior = Prior("strict", "strict", strict.sample, strict.reset, stateful=True, chunk=LENGTH)
    agent = build_agent(config, TEST_SPACES, CPU)
    replay = ReplayBuffer(collected_fields(TEST_SPACES, (1, LENGTH)), 20_000, ENVS, config.n_step, CPU)
    with closing(TrainingEnvs(replace(CONFIG, num_envs=ENVS), seed=0)) as envs:
        proposer = Proposer(prior, TEST_SPACES, 1, LENGTH, prior_draws(0), TRAINING)
        draws = torch.Generator().manual_seed(0)
        collector = Collector(agent, envs, TEST_SPACES, draws, None, 0.0, proposer, config.chunk)
        state = first_state(agent, replace(TEST_SPACES, action=deciding(config, TEST_SPACES).action))
        for _ in range(10_000 // ENVS + 1):
            collected = stepped(collector, state, "bc")
            assert collected.step is not None
            replay.append(collected.step)
    assert strict.asked > 10_000
    drawing = Draw(config.n_step, horizon=LENGTH, needs=frozenset({PROPOSALS}))
    batch = replay.sample(3000, torch.Generator().manual_seed(0), drawing)
    made, whole = brute_force(batch.obs.numpy())
    np.testing.assert_allclose(batch.action.numpy(), made, atol=1e-6)
    assert torch.equal(batch.extra[ACTION_MASK], torch.from_numpy(whole).float())
    np.testing.assert_allclose(batch.extra[PROPOSALS][:, 0].numpy(), actions_at(batch.obs.numpy(), LENGTH), atol=1e-6)
    assert 0.5 < whole.mean() < 0.9


def brute_force(obs: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The next actions of episodes whose decisions fall on every third step, and which of them are in the episode."""
    made, mask = np.zeros((len(obs), LENGTH, 2)), np.zeros((len(obs), LENGTH, 2))
    for row, (length, step, _) in enumerate(obs.tolist()):
        for ahead in range(min(LENGTH, int(length - step))):
            number = (int(step) + ahead) % EXECUTED
            at = np.array([[length, step + ahead - number, 0.0]])
            made[row, ahead], mask[row, ahead] = actions_at(at, LENGTH)[0, 2 * number : 2 * number + 2], 1.0
    return made.reshape(len(obs), -1), mask.reshape(len(obs), -1)


SERVED = """
import sys
sys.path.insert(0, {examples!r})
import numpy as np
from serve_policy import serve
ahead = np.arange(3)
serve(lambda obs, n, seed, slots: (obs[:, :1] + ahead)[:, None, :, None].repeat(n, 1) / 4.0, chunk={chunk})
"""
MADE = """
import numpy as np

def function():
    return lambda obs: (obs[:, :1] + np.arange(3))[:, :, None] / 4.0

class Sampling:
    chunk = 3
    def sample(self, obs, n, rng, slots):
        return (obs[:, :1] + np.arange(3))[:, None, :, None].repeat(n, 1) / 4.0
"""


@pytest.mark.parametrize("form", ["function", "Sampling", "process"])
def test_a_chunk_is_taken_as_far_as_it_is_decided_on(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "made_chunks.py").write_text(MADE)
    (tmp_path / "served.py").write_text(SERVED.format(examples=str(ROOT / "examples"), chunk=3))
    monkeypatch.syspath_prepend(str(tmp_path))
    named = ["prior=python", f"prior.target=made_chunks:{form}", "prior.trusted=true"]
    if form == "process":
        named = ["prior=process", f"prior.command='{command(tmp_path / 'served.py')}'"]
    obs = np.random.default_rng(0).uniform(-1.0, 1.0, (5, 3)).astype(np.float32)
    for length in (1, 2, 3):
        with opened(*named, f"chunk.length={length}") as (prior, proposer):
            expected = (obs[:, :1] + np.arange(length)) / 8.0  # of [-2, 2]
            assert prior.chunk == 3
            np.testing.assert_allclose(proposer.propose(obs)[:, 0], expected, atol=1e-6)
    with (
        pytest.raises(ConfigError, match=r"chunk\.length=4 is not possible: at most 3"),
        opened(*named, "chunk.length=4"),
    ):
        pass


@pytest.mark.parametrize("chunk", ["2", "0", "'three'"])
def test_a_process_that_says_another_length_is_one_sentence(chunk: str, tmp_path: Path) -> None:
    (tmp_path / "served.py").write_text(SERVED.format(examples=str(ROOT / "examples"), chunk=chunk))
    said = r"\(3, 1\) for an observation; \(h, d\) is \(2, 1\)" if chunk == "2" else "a number from 1 on is needed"
    with (
        pytest.raises(RQLError, match=said),
        opened("prior=process", f"prior.command='{command(tmp_path / 'served.py')}'"),
    ):
        pass


@pytest.mark.filterwarnings("ignore:.torch.jit.load. is deprecated")
def test_a_clone_of_chunks_is_finetuned_from_its_run_and_from_its_file(cli: Cli, tmp_path: Path) -> None:
    chunk = ["chunk.length=3", "chunk.execute=2"]
    first = cli(*TINY, *chunk, "offline.updates=0", "online.env_steps=0", name="first")
    path = tmp_path / "policy.pt"
    assert export.main([str(first), "--to", "torchscript", "--out", str(path), "--policy", "bc"]) == 0
    forms = (["prior=run", f"prior.run={first}", "prior.policy=bc"], ["prior=torchscript", f"prior.path={path}"])
    for number, form in enumerate(forms):
        run = cli(*FINETUNE, *form, *chunk, name=f"finetuned-{number}")
        assert summary_of(run)["bc/return"] == pytest.approx(summary_of(first)["bc/return"], abs=1e-3)
        assert "online/return" in summary_of(run)
        out = tmp_path / f"{number}.pt"
        assert export.main([str(run), "--to", "torchscript", "--out", str(out)]) == 0
        policy, obs = rql.load_policy(run), np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
        policy.begin(range(5))
        ahead = load_exported(out.read_bytes(), "torchscript")(torch.from_numpy(obs)).numpy()
        assert ahead.shape == (5, 3, 1)
        for step in range(2):
            np.testing.assert_allclose(policy.batch(obs * (1 + step)), ahead[:, step], atol=1e-4)


def test_a_killed_run_over_a_prior_with_a_memory_ends_as_one_that_nobody_killed(tmp_path: Path) -> None:
    named = ["prior=python", "prior.target=counting_prior:Chunks", "prior.trusted=true", "bc.updates=0"]
    chunk = ["chunk.length=3", "chunk.execute=2", "env.num_envs=2", "offline.updates=0", "online.env_steps=200"]
    config = kills.compose_config(["experiment=finetune", "env=pendulum", *kills.SHORT, *named, *chunk])
    whole = tmp_path / "whole"
    kills.start(config, whole).join()
    killed = kills.killed_run(config, tmp_path / "killed", 3, 0.4 * kills.seconds(whole), random.Random(0))
    assert killed >= 2 and kills.differences(whole, tmp_path / "killed") == []
    attempts = json.loads((tmp_path / "killed" / "run.json").read_text())["attempts"]
    assert any(attempt["resumed_from"] for attempt in attempts)
