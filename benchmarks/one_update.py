"""One update of ours and of other libraries, on the same batch of Hopper shapes."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch
from gymnasium import spaces as gym_spaces
from hydra import compose, initialize_config_dir
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils.flop_counter import FlopCounterMode

from rql.agents.base import Update
from rql.agents.build import build_agent
from rql.agents.statistics import Statistics
from rql.config.choices import Compile, Precision
from rql.config.compose import load
from rql.data.batch import Batch
from rql.envs.spaces import ContinuousSpec, ObservationSpec, Spaces
from rql.training.execute import Executor

OBS, DIMS, BATCH = 11, 3, 256
PLAIN = ["env=hopper", "network.actor.layer_norm=false", "network.critic.layer_norm=false", "compile=off"]
SAC_LIKE = ["baseline=none", "composition=amortized", "target=policy", "target.num_samples=1", "beta=constant"]
SAC_LIKE += ["q.normalize=false"]
METHODS = {
    "bc": ("bc", ["agent=bc"]),
    "sac": ("offline", [*SAC_LIKE, "cql=off"]),
    "cql": ("offline", [*SAC_LIKE, "cql.alpha=1.0", "cql.num_samples=15"]),
    "iql": ("offline", ["agent=iql"]),
    "td3_bc": ("offline", ["agent=td3_bc"]),
}
"""The stage whose updates are timed, and the overrides."""
Step = Callable[[], Any]


def arrays() -> dict[str, Any]:
    """A batch of transitions."""
    rng = np.random.default_rng(0)
    return {
        "obs": rng.normal(size=(BATCH, OBS)).astype(np.float32),
        "action": rng.uniform(-0.9, 0.9, (BATCH, DIMS)).astype(np.float32),
        "reward": rng.normal(size=BATCH).astype(np.float32),
        "next_obs": rng.normal(size=(BATCH, OBS)).astype(np.float32),
        "terminated": (rng.random(BATCH) < 0.01).astype(np.float32),
    }


def tensors(device: torch.device) -> dict[str, Tensor]:
    """The batch on a device."""
    return {key: torch.from_numpy(value).to(device) for key, value in arrays().items()}


class Ours(NamedTuple):
    """What an update of ours takes."""

    cycle: Sequence[Update[Any]]
    state: Any
    batch: Batch
    noise: Callable[[], dict[str, Tensor]]
    hparams: Any


def ours(method: str, hidden: list[int], device: torch.device) -> Ours:
    """What an update by a method takes."""
    name, overrides = METHODS[method]
    sizes = [f"network.{part}.hidden={hidden}" for part in ("actor", "critic")]
    with initialize_config_dir(str(Path(__file__).resolve().parents[1] / "conf"), version_base="1.3"):
        config = load(compose("config", overrides=[*PLAIN, *sizes, *overrides]))
    low = -np.ones(DIMS, np.float32)
    observed = ObservationSpec(gym_spaces.Box(-np.inf, np.inf, (OBS,), np.float32), OBS)
    torch.manual_seed(0)
    agent = build_agent(config, Spaces(observed, ContinuousSpec(low, -low, (DIMS,))), device)
    state = agent.init(Statistics.unknown(OBS, device))
    for stage in agent.stages:
        state = stage.enter(state)
        if stage.info.name == name:
            break
    hparams, draws, data = agent.hparams(name, 1), torch.Generator(device).manual_seed(0), tensors(device)
    transition = data["obs"], data["action"], data["reward"], data["next_obs"], data["terminated"]
    batch = Batch(*transition, torch.ones(BATCH, device=device))
    return Ours(stage.cycle, state, batch, lambda: stage.noise(BATCH, hparams, draws), hparams)


def rql(
    method: str,
    hidden: list[int],
    device: torch.device,
    compile: Compile,
    precision: Precision = Precision.float32,
    factor: float = 1.0,
) -> Step:
    """One update of ours, its noise included; all numbers of the first state are multiplied by a factor."""
    with_ = ours(method, hidden, device)
    state = pytree.tree_map(lambda leaf: leaf * factor, with_.state)
    executor, here = Executor(with_.cycle, compile, precision, 0), [0, state]

    def step() -> Any:
        here[1], metrics = executor.update(here[0], here[1], with_.batch, with_.noise(), with_.hparams)
        here[0] += 1
        return metrics

    return step


def operations(method: str, hidden: list[int], device: torch.device) -> float:
    """Floating-point operations in the matrix products of an update, in the mean over a cycle."""
    with_ = ours(method, hidden, device)
    with FlopCounterMode(display=False) as counter:
        for update in with_.cycle:
            update(with_.state, with_.batch, with_.noise(), with_.hparams)
    return float(counter.get_total_flops()) / len(with_.cycle)


def population(method: str, hidden: list[int], device: torch.device, count: int) -> dict[str, Step]:
    """One update of `count` agents, at once and one after the other, each with noise of its own."""
    with_ = ours(method, hidden, device)
    update = with_.cycle[0]

    def stacked(*trees: Any) -> Any:
        return pytree.tree_map(lambda *leaves: torch.stack(leaves), *trees)

    def together(state: Any, batch: Batch, noise: dict[str, Tensor], hparams: Any) -> Any:
        states, metrics = torch.vmap(update, (0, None, 0, None))(state, batch, noise, hparams)
        return states, {name: value.mean() for name, value in metrics.items()}

    at_once, single = (Executor([one], Compile.on, Precision.float32, 0) for one in (together, update))
    here, alone = [stacked(*[with_.state] * count)], [with_.state]

    def all_at_once() -> None:
        noise = stacked(*(with_.noise() for _ in range(count)))
        here[0], _ = at_once.update(0, here[0], with_.batch, noise, with_.hparams)

    def one_by_one() -> None:
        for _ in range(count):  # of one agent, which takes as long as one of each
            alone[0], _ = single.update(0, alone[0], with_.batch, with_.noise(), with_.hparams)

    return {f"{count} at once": all_at_once, f"{count} one by one": one_by_one}


def d3rlpy(method: str, hidden: list[int], device: torch.device) -> Step:
    """One update of theirs."""
    from d3rlpy.algos import BCConfig, CQLConfig, IQLConfig, SACConfig, TD3PlusBCConfig
    from d3rlpy.models import VectorEncoderFactory
    from d3rlpy.torch_utility import TorchMiniBatch

    encoder = VectorEncoderFactory(hidden)
    both = {"actor_encoder_factory": encoder, "critic_encoder_factory": encoder, "batch_size": BATCH}
    config: Any = {
        "bc": lambda: BCConfig(encoder_factory=encoder, batch_size=BATCH, policy_type="stochastic"),
        "sac": lambda: SACConfig(**both),
        "cql": lambda: CQLConfig(**both, n_action_samples=10),
        "iql": lambda: IQLConfig(**both, value_encoder_factory=encoder),
        "td3_bc": lambda: TD3PlusBCConfig(**both),
    }[method]()
    algorithm = config.create(device="cuda:0" if device.type == "cuda" else "cpu")
    algorithm.create_impl((OBS,), DIMS)
    data, column = tensors(device), (BATCH, 1)
    batch = TorchMiniBatch(
        observations=data["obs"],
        actions=data["action"],
        rewards=data["reward"].view(column),
        next_observations=data["next_obs"],
        next_actions=data["action"],
        returns_to_go=torch.zeros(column, device=device),
        terminals=data["terminated"].view(column),
        intervals=torch.ones(column, device=device),
        device=str(device),
    )
    count = [0]

    def step() -> None:
        algorithm.impl.inner_update(batch, count[0])
        count[0] += 1

    return step


def sb3(hidden: list[int], device: torch.device) -> Step:
    """One update of the SAC of stable-baselines3."""
    from stable_baselines3 import SAC
    from stable_baselines3.common.logger import configure

    how: Any = {"policy_kwargs": {"net_arch": hidden}, "batch_size": BATCH, "device": device}
    model = SAC("MlpPolicy", gymnasium.make("Hopper-v5"), **how)
    model.set_logger(configure(tempfile.mkdtemp(), []))
    data = arrays()
    assert model.replay_buffer is not None
    for _ in range(4):
        for i in range(BATCH):
            row = {key: value[i : i + 1] for key, value in data.items()}
            ends = row["terminated"]
            model.replay_buffer.add(row["obs"], row["next_obs"], row["action"], row["reward"], ends, [{}])
    return lambda: model.train(gradient_steps=1, batch_size=BATCH)
