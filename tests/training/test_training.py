"""The stages: when they report, how much they update, and that they learn."""

import math
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from agent_states import first_state, started
from conftest import box_spaces, compose_config
from counter_env import CONFIG, TEST_SPACES
from made_data import CPU, transitions

from rql.agents.build import build_agent
from rql.agents.rql.schedule import RQLSchedule
from rql.config.data import EnvConfig
from rql.config.method import LinearBetaConfig
from rql.config.schema import Config
from rql.data.batch import RewardTransform
from rql.data.dataset import Dataset
from rql.envs.spaces import ContinuousSpec, DiscreteSpec, Spaces
from rql.envs.training import TrainingEnvs
from rql.training.online import OnlineTrainer
from rql.training.progress import MetricMeans, Progress, due
from rql.training.trainer import DatasetTrainer, Trainer
from rql.utils.errors import DivergenceError, RQLError
from rql.utils.random import stream_seed

RAW = RewardTransform()


ONE, THREE = (box_spaces(2, ContinuousSpec(-np.ones(d, np.float32), np.ones(d, np.float32), (d,))) for d in (1, 3))


def schedule(*overrides: str, spaces: Spaces = ONE) -> RQLSchedule:
    return RQLSchedule(compose_config("online.env_steps=1052", "online.warmup_fraction=0.05", *overrides), spaces, CPU)


def test_beta_keeps_its_first_value_and_then_moves_over_the_steps_after_the_warm_up() -> None:
    """The warm-up takes 52 of 1,052 steps."""
    moving = schedule("beta=linear", "beta.start=0.2", "beta.end=1", "beta.start_share=0.2", "beta.end_share=0.6")
    assert moving.offline().beta.item() == pytest.approx(0.2)
    assert [schedule().online(step).beta.item() for step in (125, 250, 1000)] == pytest.approx([1.55, 3.0, 3.0])
    assert [schedule("beta=late").online(step).beta.item() for step in (600, 625)] == pytest.approx([2.884, 3.0])
    found = [moving.online(step).beta.item() for step in (0, 200, 400, 600, 1000)]
    assert found == pytest.approx([0.2, 0.2, 0.6, 1.0, 1.0])
    assert schedule("beta=constant", "beta.value=0.7").online(500).beta.item() == pytest.approx(0.7)
    points = schedule("beta=piecewise", "beta.steps=[100,300,400]", "beta.values=[0.2,1,0.5]")
    found = [points.online(step).beta.item() for step in (0, 100, 200, 300, 350, 900)]
    assert found == pytest.approx([0.2, 0.2, 0.6, 1.0, 0.75, 0.5])
    kl = schedule("beta=kl", "beta.budget_start=0.1", "beta.budget_end=0.5")
    assert kl.offline().kl_budget.item() == pytest.approx(0.1)
    assert [kl.online(step).kl_budget.item() for step in (0, 500, 1000)] == pytest.approx([0.1, 0.3, 0.5])
    held = schedule("beta=kl", "beta.budget_start=0.1", "beta.budget_end=0.5", "beta.end_share=0.1")
    assert [held.online(step).kl_budget.item() for step in (50, 100, 1000)] == pytest.approx([0.3, 0.5, 0.5])


@pytest.mark.parametrize(("spaces", "dims"), [(ONE, 1), (THREE, 3), (box_spaces(2, DiscreteSpec(4, 0)), 1)])
def test_the_kl_budget_is_for_each_action_dimension(spaces: Spaces, dims: int) -> None:
    kl = schedule("beta=kl", "beta.budget_start=0.1", "beta.budget_end=0.5", spaces=spaces)
    assert [kl.online(step).kl_budget.item() for step in (0, 1000)] == pytest.approx([0.1 * dims, 0.5 * dims])


@pytest.mark.parametrize(("value", "said"), [(-1.0, "-1.0 1,000 online steps"), (math.nan, "nan 0 online steps")])
def test_a_schedule_of_ones_own_that_gives_what_beta_cannot_be_ends_the_run(value: float, said: str) -> None:
    config = replace(compose_config("online.env_steps=1000"), beta=LinearBetaConfig(0.0, value))
    with pytest.raises(RQLError, match=f"the schedule of beta gives {said}"):
        RQLSchedule(config, ONE, CPU).online(1000)


def test_alpha_switches_at_once_or_fades() -> None:
    at_once = schedule("cql.alpha=0.1")
    assert at_once.offline().alpha is not None and at_once.online(1).alpha is None
    fading = schedule("cql.alpha=0.1", "cql.online_alpha=0.02", "cql.fade_steps=100")
    weights = [fading.online(step).alpha for step in (0, 50, 100, 900)]
    assert [round(float(weight), 4) for weight in weights if weight is not None] == [0.1, 0.06, 0.02, 0.02]
    assert schedule("cql=off").offline().alpha is None


@pytest.mark.parametrize(("replay", "first", "last"), [("fading", 0.5 - 0.4 / 3, 0.1), ("mixed", 0.5, 0.5)])
def test_the_share_of_offline_data_moves(replay: str, first: float, last: float) -> None:
    reports, _ = finetune(compose_config(*ONLINE, f"replay={replay}"))
    assert [report.metrics["offline_fraction"] for report in reports] == pytest.approx([first, last])


def test_due() -> None:
    assert [step for step in range(1, 11) if due(step - 1, step, 4, 10)] == [4, 8, 10]
    assert [step for step in range(1, 11) if due(step - 1, step, 0, 10)] == [10]
    assert due(6, 9, 4, 100) and not due(4, 7, 4, 100)


def test_random_streams_differ_by_use_and_by_seed() -> None:
    seeds = {stream_seed(seed, use) for seed in range(20) for use in ("bc", "offline", "envs")}
    assert len(seeds) == 60 and max(seeds) < 2**31


def test_a_diverged_training_stops_and_says_where() -> None:
    window = MetricMeans("offline", 1e6)
    window.add({"td_loss": torch.tensor(math.nan)})
    with pytest.raises(DivergenceError, match="offline/td_loss is nan at step 7"):
        window.means(7)
    window.add({"target": torch.tensor(-2e6)})
    with pytest.raises(DivergenceError, match=r"-2e\+06 at offline step 8; the limit is watchdog.max_q=1e\+06"):
        window.means(8)


def finetune(config: Config) -> tuple[list[Progress], Trainer]:
    torch.manual_seed(0)
    agent, data = build_agent(config, TEST_SPACES, CPU), transitions(TEST_SPACES)
    state = started(agent, TEST_SPACES, data)
    dataset = Dataset(data, CPU)
    with closing(TrainingEnvs(_counters(config), 0)) as envs:
        return followed(
            OnlineTrainer(agent, agent.stages[-1], state, dataset, envs, TEST_SPACES, RewardTransform(), None, config)
        )


def _counters(config: Config) -> EnvConfig:
    """The counting environment, as many and run as a configuration says."""
    return replace(CONFIG, num_envs=config.env.num_envs, vectorization=config.env.vectorization)


def followed(trainer: Trainer) -> tuple[list[Progress], Trainer]:
    """Go through a stage: its reports, and the trainer at its end."""
    reports = []
    while trainer.step < trainer.total:
        reports.append(trainer.advance())
    return [report for report in reports if report], trainer


ONLINE = ["batch_size=8", "online.env_steps=40", "online.warmup_fraction=0.25", "online.eval_every=20", "cql=off"]


@pytest.mark.parametrize(("num_envs", "utd", "updates"), [(1, 1, 30), (1, 0.5, 15), (1, 3, 90), (4, 1, 32)])
def test_updates_follow_the_utd_ratio_after_the_warm_up(num_envs: int, utd: float, updates: int) -> None:
    reports, trainer = finetune(compose_config(*ONLINE, f"online.utd={utd}", f"env.num_envs={num_envs}"))
    assert trainer.state.updates.item() == trainer.updates == updates
    assert [report.step for report in reports if report.evaluate] == [20, 40]
    assert reports[-1].metrics["replay_size"] == 40


@pytest.mark.parametrize("overlap", [False, True])
def test_updates_that_overlap_lack_the_step_that_is_being_made(overlap: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    had, update = list[tuple[int, int]](), OnlineTrainer.update

    def noted(self: OnlineTrainer, hparams: Any) -> None:
        had.append((self.step, self.replay.appended))
        update(self, hparams)

    monkeypatch.setattr(OnlineTrainer, "update", noted)
    config = compose_config(*ONLINE, "env.vectorization=subprocess", f"online.overlap={overlap}")
    reports, _ = finetune(config)
    assert had == [(step, step - overlap) for step in range(11, 41)]
    assert reports[-1].metrics["replay_size"] == 40


def test_a_small_replay_buffer_is_full_and_stays_so() -> None:
    reports, _ = finetune(compose_config(*ONLINE, "replay.capacity=16"))
    assert reports[-1].metrics["replay_size"] == 16


def test_without_data_observations_are_normalised_by_those_that_were_met_anew_when_there_are_twice_as_many() -> None:
    """Here the batch is larger than the warm-up: the first update is at step 16."""
    config = compose_config("experiment=scratch", *ONLINE, "batch_size=16", "online.eval_every=0", "q.n_step=1")
    agent = build_agent(config, TEST_SPACES, CPU)
    state = first_state(agent, TEST_SPACES)
    with closing(TrainingEnvs(CONFIG, 0)) as envs:
        stage = OnlineTrainer(agent, agent.stages[-1], state, None, envs, TEST_SPACES, RewardTransform(), None, config)
        while not stage.state.updates:
            assert stage.state.normalizer.std.eq(1).all() and stage.state.normalizer.mean.eq(0).all()
            stage.advance()
        assert stage.step == stage.replay.size == 16
        for met in (16, 32):
            while stage.step < 2 * met - 1:
                seen = stage.replay.observations(0, met)
                torch.testing.assert_close(stage.state.normalizer.mean, seen.mean(0))
                std = seen.std(0, correction=0)
                usual = std[std > 0].quantile(0.5)  # of a dimension that did not vary
                torch.testing.assert_close(stage.state.normalizer.std, torch.where(std > 0, std, usual))
                if stage.step == stage.total:
                    break
                stage.advance()
            if stage.step < stage.total:
                stage.advance()


def test_schedules_begin_when_the_warm_up_is_over_and_go_on_where_a_run_is_extended() -> None:
    """The warm-up takes 10 of 40 steps, and would take 100 of 400; β is 1 after 20 steps more, or after 200."""
    moving = "beta=linear", "beta.start=0.2", "beta.end=1", f"beta.end_share={2 / 3}"
    config = compose_config(*ONLINE, *moving)
    longer = replace(config, online=replace(config.online, env_steps=400))
    data = transitions(TEST_SPACES)
    with closing(TrainingEnvs(CONFIG, 0)) as envs:

        def stage_of(config: Config) -> OnlineTrainer:
            agent = build_agent(config, TEST_SPACES, CPU)
            parts = first_state(agent, TEST_SPACES, data), Dataset(data, CPU), envs, TEST_SPACES, RewardTransform()
            return OnlineTrainer(agent, agent.stages[-1], *parts, None, config)

        stage, extended, found = stage_of(config), stage_of(longer), list[float]()
        for step in range(1, 26):
            stage.advance()
            if step in (10, 20, 25):
                found.append(stage.hparams().beta.item())
        extended.load(stage.saved_state())
    assert [*found, extended.hparams().beta.item()] == pytest.approx([0.2, 0.6, 0.8, 0.26])


def test_updates_wait_for_a_batch_of_online_transitions() -> None:
    config = compose_config(*ONLINE, "batch_size=16", "online.eval_every=0")
    agent, data = build_agent(config, TEST_SPACES, CPU), transitions(TEST_SPACES)
    state, dataset = first_state(agent, TEST_SPACES, data), Dataset(data, CPU)
    with closing(TrainingEnvs(CONFIG, 0)) as envs:
        parts = state, dataset, envs, TEST_SPACES, RewardTransform(), None
        stage = OnlineTrainer(agent, agent.stages[-1], *parts, config)
        while not stage.state.updates:
            stage.advance()
        assert stage.step == stage.replay.size == 16


def test_the_stages_on_data_report_when_told() -> None:
    config = compose_config(
        "batch_size=8", "bc.updates=10", "bc.eval_every=4", "offline.updates=7", "tracking.log_every=3"
    )
    agent, data = build_agent(config, TEST_SPACES, CPU), transitions(TEST_SPACES)
    dataset = Dataset(data, CPU)
    state = first_state(agent, TEST_SPACES, data)
    cloning, learning, _ = agent.stages
    reports, trainer = followed(DatasetTrainer(agent, cloning, state, dataset, RAW, config))
    assert [(report.step, report.evaluate) for report in reports] == [
        (3, False), (4, True), (6, False), (8, True), (9, False), (10, True),
    ]  # fmt: skip
    assert reports[-1].metrics["loss"] < reports[0].metrics["loss"]
    reports, _ = followed(DatasetTrainer(agent, learning, learning.enter(trainer.state), dataset, RAW, config))
    assert [(report.step, report.evaluate) for report in reports] == [(3, False), (6, False), (7, True)]
    assert {"td_loss", "cql_loss", "kl", "beta", "q_scale", "q_data", "q_policy", "ess"} <= reports[0].metrics.keys()
