"""What a prior proposes as a column: of data sets, of what is collected, and in batches."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from agent_states import first_state
from conftest import compose_config, stepped, transitions_of
from counter_env import CONFIG, TEST_SPACES, Counter
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from made_data import CPU
from strict_prior import Strict, actions_at

from rql.agents.build import build_agent
from rql.config.schema import Config
from rql.data.batch import NEXT_PROPOSALS, Batch, Draw
from rql.data.cache import remove_leftovers
from rql.data.columns import OBS, PROPOSALS, collected_fields
from rql.data.dataset import Dataset
from rql.data.replay import ReplayBuffer
from rql.data.transitions import Transitions
from rql.envs.training import TrainingEnvs
from rql.evaluation.rollout import play
from rql.priors.base import EVALUATION, TRAINING, Prior, Proposer, prior_draws
from rql.priors.filling import with_proposals
from rql.training.collector import Collector
from rql.utils.errors import RQLError

NEEDS = frozenset({PROPOSALS, NEXT_PROPOSALS})
ENVS = 3


def strict() -> tuple[Strict, Prior]:
    policy = Strict()
    return policy, Prior("strict", "strict", policy.sample, policy.reset, stateful=True)


def config_of(tmp_path: Path) -> Config:
    named = ["prior=python", "prior.target=strict_prior:make", "prior.trusted=true", "env.id=RQLTestCounter-v0"]
    return compose_config("experiment=finetune", *named, f"dataset.cache={tmp_path}")


def assert_as_proposed(batch: Batch) -> None:
    for name, obs in ((PROPOSALS, batch.obs), (NEXT_PROPOSALS, batch.next_obs)):
        np.testing.assert_allclose(batch.extra[name][:, 0].numpy(), actions_at(obs.numpy()), atol=1e-6)


def collecting(policy: Prior, envs: TrainingEnvs, config: Config) -> tuple[Collector, Any]:
    agent = build_agent(config, TEST_SPACES, CPU)
    proposer = Proposer(policy, TEST_SPACES, 1, 1, prior_draws(0), TRAINING)
    draws = torch.Generator().manual_seed(0)
    collector = Collector(agent, envs, TEST_SPACES, draws, None, proposer=proposer)
    return collector, first_state(agent, TEST_SPACES)


def test_a_prior_with_a_memory_is_led_through_10_000_steps_of_episodes_of_either_end(tmp_path: Path) -> None:
    """Evaluations of other episodes come in between, and batches hold what was proposed at both of their states."""
    policy, prior = strict()
    config = config_of(tmp_path)
    replay = ReplayBuffer(collected_fields(TEST_SPACES, (1, 1)), 500, ENVS, 3, CPU)
    others = SyncVectorEnv([Counter] * 2, autoreset_mode=AutoresetMode.DISABLED)
    with closing(TrainingEnvs(replace(CONFIG, num_envs=ENVS), seed=0)) as envs:
        collector, state = collecting(prior, envs, config)
        for step in range(10_000 // ENVS):
            collected = stepped(collector, state, "final")
            assert collected.step is not None
            replay.append(collected.step)
            if step % 500 == 0:
                _evaluate(prior, others)
    assert policy.asked > 10_000
    batch = replay.sample(2000, torch.Generator().manual_seed(0), Draw(3, needs=NEEDS))
    assert_as_proposed(batch)
    assert 0.0 < batch.terminated.mean() < 0.5 and batch.steps.min() < 3


def _evaluate(prior: Prior, envs: Any) -> None:
    asking = Proposer(prior, TEST_SPACES, 1, 1, prior_draws(0), EVALUATION)

    def act(obs: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(asking.propose(obs.numpy())[:, 0])

    raw: Any = lambda reward: reward  # noqa: E731
    play(act, envs, TEST_SPACES, 5, 100, raw, 1.0, CPU, 50, begin=asking.begin)


def test_it_raises_where_it_is_not_reset() -> None:
    """Or the test above could not fail."""
    policy, prior = strict()
    asking = Proposer(prior, TEST_SPACES, 1, 1, prior_draws(0), TRAINING)
    obs = np.array([[4, step, 0] for step in range(3)], np.float32)
    asking.propose(obs[:1])
    asking.propose(obs[1:2])
    with pytest.raises(AssertionError, match="slot 0"):
        asking.propose(obs[:1])
    asking.begin(np.array([0]))
    asking.propose(obs[:1])
    with pytest.raises(AssertionError, match="slot 0"):
        asking.propose(obs[2:])
    assert policy.asked == 3


def test_a_buffer_that_was_saved_proposes_as_before(tmp_path: Path) -> None:
    _, prior = strict()
    replay = ReplayBuffer(collected_fields(TEST_SPACES, (1, 1)), 200, 2, 2, CPU)
    with closing(TrainingEnvs(replace(CONFIG, num_envs=2), seed=1)) as envs:
        collector, state = collecting(prior, envs, config_of(tmp_path))
        for _ in range(150):
            collected = stepped(collector, state, "final")
            assert collected.step is not None
            replay.append(collected.step)
    again = ReplayBuffer(collected_fields(TEST_SPACES, (1, 1)), 200, 2, 2, CPU)
    again.restore(replay.since(0), replay.saved_state())
    for one, other in zip(*(list(_drawn(buffer)) for buffer in (replay, again)), strict=True):
        assert torch.equal(one, other)


def _drawn(buffer: ReplayBuffer) -> Iterator[torch.Tensor]:
    batch = buffer.sample(500, torch.Generator().manual_seed(0), Draw(2, needs=NEEDS))
    assert_as_proposed(batch)
    yield from (batch.obs, batch.next_obs, *batch.extra.values())


def counted(continuing: bool) -> Transitions:
    """Episodes of the counting environment; where they do not continue, a step leads elsewhere than the next begins."""
    obs, following, starts = list[list[int]](), list[list[int]](), list[int]()
    terminated, truncated = list[bool](), list[bool]()
    for length in (3, 4, 2):
        starts.append(len(obs))
        for step in range(length):
            obs.append([length, step, 0])
            following.append([length, step + 1, 0 if continuing else 1])
            terminated.append(step + 1 == length and length % 2 == 1)
            truncated.append(step + 1 == length and length % 2 == 0)
    count = len(obs)
    action, reward = np.zeros((count, 2)), np.ones(count)
    made = transitions_of(TEST_SPACES, obs, action, reward, following, terminated, truncated, starts)
    columns = {name: column for name, column in made.columns.items() if name != "next_obs" or not continuing}
    return replace(made, columns=columns)


def test_a_data_set_is_filled_episode_by_episode_once(tmp_path: Path) -> None:
    policy, prior = strict()
    for _ in range(2):
        filled = with_proposals(counted(continuing=True), prior, TEST_SPACES, config_of(tmp_path))
        assert policy.asked == 9 + 3  # the last observations too; the second time it is not asked
    assert_as_proposed(Dataset(filled, CPU).sample(200, torch.Generator().manual_seed(0), Draw(1, needs=NEEDS)))
    [kept] = tmp_path.glob("*.proposals")
    kept.write_bytes(kept.read_bytes()[:-1])
    with_proposals(counted(continuing=True), prior, TEST_SPACES, config_of(tmp_path))
    assert policy.asked == 24
    for _ in range(2):  # who does not say what it is may have changed
        with_proposals(counted(continuing=True), replace(prior, digest=""), TEST_SPACES, config_of(tmp_path))
    assert policy.asked == 48 and filled.checksum == counted(continuing=True).checksum
    remove_leftovers(tmp_path)
    assert not list(tmp_path.glob("*.proposals"))


def test_where_steps_lead_elsewhere_than_the_next_begins_both_are_asked_about(tmp_path: Path) -> None:
    def sample(obs: Any, n: int, rng: Any, slots: Any) -> Any:
        return np.stack([obs[:, 1] / 12.0, obs[:, 2] / 2.0], axis=1)[:, None]

    apart = counted(continuing=False)
    filled = with_proposals(apart, Prior("apart", "apart", sample), TEST_SPACES, config_of(tmp_path))
    batch = Dataset(filled, CPU).sample(200, torch.Generator().manual_seed(0), Draw(1, needs=NEEDS))
    assert torch.allclose(batch.extra[NEXT_PROPOSALS][:, 0], batch.next_obs[:, 1:] / torch.tensor([12.0, 2.0]))
    assert torch.allclose(batch.extra[PROPOSALS][:, 0], batch.obs[:, 1:] / torch.tensor([12.0, 2.0]))
    assert filled.columns[OBS] is apart.columns[OBS]
    with pytest.raises(RQLError, match="the steps of data set test do not follow each other"):
        with_proposals(apart, strict()[1], TEST_SPACES, config_of(tmp_path))
