"""Behaviour cloning, then Q_R offline, then finetuning online."""

from collections.abc import Callable, Iterator

from rql.agents.agent import Agent, PolicyName
from rql.agents.state import AgentState, Metrics
from rql.config.schema import Config
from rql.data.journal import Journal
from rql.data.recorder import EpisodeRecorder
from rql.data.replay import PackedDataset, ReplayBuffer
from rql.data.rows import RowLayout
from rql.data.transitions import RewardTransform
from rql.envs.make import AnyVectorEnv
from rql.envs.spaces import Spaces
from rql.training.collector import Collector
from rql.training.hyperparameters import HyperparameterSchedule
from rql.training.n_step import NStep
from rql.training.random import generator, stream_seed
from rql.training.ticks import Stage, Tick, Window, due


def clone_demonstrations(
    agent: Agent, state: AgentState, schedule: HyperparameterSchedule, data: PackedDataset | None, config: Config
) -> Iterator[Tick]:
    """Train π_BC on D_bc for `bc.updates` updates; with none, no data are needed."""
    draws = generator(config.seed, "bc", state.beta.device)
    hparams, _ = schedule.offline()

    def update(state: AgentState) -> tuple[AgentState, Metrics]:
        assert data is not None
        return agent.clone(state, hparams, data.sample(config.batch_size, draws))

    return _repeat("bc", update, state, config.bc.updates, config.bc.eval_every, config.tracking.log_every)


def learn_offline(
    agent: Agent, state: AgentState, schedule: HyperparameterSchedule, data: PackedDataset, config: Config
) -> Iterator[Tick]:
    """Train Q_R (and π_θ) on D_offline for `offline.updates` updates."""
    draws = generator(config.seed, "offline", data.rows.device)
    diagnosis = generator(config.seed, "offline diagnosis", data.rows.device)
    hparams, conservative = schedule.offline()

    def update(state: AgentState) -> tuple[AgentState, Metrics]:
        noise = agent.update_noise(config.batch_size, conservative, draws)
        return agent.update(state, hparams, data.sample(config.batch_size, draws), noise, conservative)

    def diagnose(state: AgentState) -> Metrics:
        noise = agent.diagnose_noise(config.batch_size, diagnosis)
        return agent.diagnose(state, data.sample(config.batch_size, diagnosis), noise)

    stage = config.offline
    return _repeat("offline", update, state, stage.updates, stage.eval_every, config.tracking.log_every, diagnose)


def _repeat(
    stage: Stage,
    update: Callable[[AgentState], tuple[AgentState, Metrics]],
    state: AgentState,
    last: int,
    eval_every: int,
    log_every: int,
    diagnose: Callable[[AgentState], Metrics] = lambda state: {},
) -> Iterator[Tick]:
    window = Window(stage)
    if not last:
        yield Tick(0, state, {}, evaluate=True)
    for step in range(1, last + 1):
        state, metrics = update(state)
        window.add(metrics)
        evaluate = due(step - 1, step, eval_every, last)
        if evaluate or due(step - 1, step, log_every, last):
            window.add(diagnose(state))
            yield Tick(step, state, window.means(step), evaluate)


def finetune_online(
    agent: Agent,
    state: AgentState,
    schedule: HyperparameterSchedule,
    data: PackedDataset | None,
    envs: AnyVectorEnv,
    view: Spaces,
    reward: RewardTransform,
    journal: Journal | None,
    config: Config,
) -> Iterator[Tick]:
    """Act with π_final for `online.env_steps` steps and keep updating Q_R on a mix of offline and online data.

    Before the first update of Q_R it is π_BC that acts. Whole episodes go to the journal, if there is one.
    """
    device, last = state.beta.device, config.online.env_steps
    draws, diagnosis = (generator(config.seed, use, device) for use in ("online", "online diagnosis"))
    capacity = min(config.replay.capacity, last + envs.num_envs * config.q.n_step)
    replay = ReplayBuffer(capacity, RowLayout.of(view), device, data)
    collector = Collector(
        agent,
        envs,
        view,
        reward,
        NStep(replay.layout, config.q.n_step, config.q.discount, envs.num_envs),
        generator(config.seed, "collect", device),
        stream_seed(config.seed, "envs"),
        EpisodeRecorder(journal, envs.num_envs) if journal else None,
    )
    policy: PolicyName = "final" if float(state.updates) else "bc"
    window = Window("online")
    step, owed, returns = 0, 0.0, list[float]()
    while step < last:
        before, step = step, step + envs.num_envs
        hparams, conservative = schedule.online(step)
        fraction = schedule.offline_fraction(step)
        if not agent.adaptive_beta:
            state = state._replace(beta=hparams.beta)
        collected = collector.step(state, policy)
        replay.append(collected.rows)
        if data and len(collected.rows):
            window.add({"out_of_range": data.outside_range(replay.layout.unpack(collected.rows).obs)})
        returns += collected.returns
        if replay.size and step > config.online.warmup_fraction * last:
            owed += config.online.utd * envs.num_envs
        for _ in range(int(owed)):
            noise = agent.update_noise(config.batch_size, conservative, draws)
            batch = replay.sample(config.batch_size, fraction, draws)
            state, metrics = agent.update(state, hparams, batch, noise, conservative)
            window.add(metrics)
            policy = "final"
        owed -= int(owed)
        evaluate = due(before, step, config.online.eval_every, last)
        if evaluate or due(before, step, config.tracking.log_every, last):
            if replay.size:
                noise = agent.diagnose_noise(config.batch_size, diagnosis)
                window.add(agent.diagnose(state, replay.sample(config.batch_size, fraction, diagnosis), noise))
            metrics_now = window.means(step) | {"offline_fraction": fraction, "replay_size": float(replay.size)}
            if returns:
                metrics_now["train_return"] = sum(returns) / len(returns)
                returns.clear()
            yield Tick(step, state, metrics_now, evaluate)
