"""Behaviour cloning, then Q_R offline, then finetuning online."""

from collections.abc import Callable, Iterator

from rql.agents.agent import Agent
from rql.agents.state import AgentState, Metrics
from rql.config.schema import Config
from rql.data.replay import PackedDataset, ReplayBuffer
from rql.envs.make import AnyVectorEnv
from rql.envs.spaces import Spaces
from rql.training.collector import Collector
from rql.training.hyperparameters import HyperparameterSchedule
from rql.training.random import generator, stream_seed
from rql.training.ticks import Stage, Tick, Window, due


def clone_demonstrations(
    agent: Agent, state: AgentState, schedule: HyperparameterSchedule, data: PackedDataset, config: Config
) -> Iterator[Tick]:
    """Train π_BC on D_bc for `bc.updates` updates."""
    draws = generator(config.seed, "bc", data.rows.device)
    hparams, _ = schedule.offline()

    def update(state: AgentState) -> tuple[AgentState, Metrics]:
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
    data: PackedDataset,
    envs: AnyVectorEnv,
    view: Spaces,
    config: Config,
) -> Iterator[Tick]:
    """Act with π_final for `online.env_steps` steps and keep updating Q_R on a mix of offline and online data."""
    device, last = data.rows.device, config.online.env_steps
    draws, diagnosis = (generator(config.seed, use, device) for use in ("online", "online diagnosis"))
    replay = ReplayBuffer(max(envs.num_envs, min(config.replay.capacity, last)), data)
    collector = Collector(
        agent, envs, view, data.layout, generator(config.seed, "collect", device), stream_seed(config.seed, "envs")
    )
    window = Window("online")
    step, owed, returns = 0, 0.0, list[float]()
    while step < last:
        before, step = step, step + envs.num_envs
        hparams, conservative = schedule.online(step)
        fraction = schedule.offline_fraction(step)
        if not agent.adaptive_beta:
            state = state._replace(beta=hparams.beta)
        rows, finished = collector.step(state)
        replay.append(rows)
        window.add({"out_of_range": data.outside_range(data.layout.unpack(rows).obs)})
        returns += finished
        if step > config.online.warmup_fraction * last:
            owed += config.online.utd * envs.num_envs
        for _ in range(int(owed)):
            noise = agent.update_noise(config.batch_size, conservative, draws)
            batch = replay.sample(config.batch_size, fraction, draws)
            state, metrics = agent.update(state, hparams, batch, noise, conservative)
            window.add(metrics)
        owed -= int(owed)
        evaluate = due(before, step, config.online.eval_every, last)
        if evaluate or due(before, step, config.tracking.log_every, last):
            noise = agent.diagnose_noise(config.batch_size, diagnosis)
            window.add(agent.diagnose(state, replay.sample(config.batch_size, fraction, diagnosis), noise))
            metrics_now = window.means(step) | {"offline_fraction": fraction, "replay_size": float(replay.size)}
            if returns:
                metrics_now["train_return"] = sum(returns) / len(returns)
                returns.clear()
            yield Tick(step, state, metrics_now, evaluate)
