"""Priors that propose several actions at a time, to be made one after the other."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from agent_states import first_state
from conftest import compose_config
from counter_env import CONFIG, TEST_SPACES
from made_data import CPU
from strict_prior import Strict, actions_at

from rql.agents.build import build_agent, deciding
from rql.data.batch import ACTION_MASK, Draw
from rql.data.columns import PROPOSALS, collected_fields
from rql.data.replay import ReplayBuffer
from rql.envs.training import TrainingEnvs
from rql.priors.base import TRAINING, Prior, Proposer, prior_draws
from rql.training.collector import Collector

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
            collected = collector.step(state, "bc")
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
