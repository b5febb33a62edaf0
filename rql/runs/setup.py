"""From the configuration to what all attempts of a run have in common: device, environment, data, reward."""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import gymnasium
import torch

from rql.agents.statistics import Statistics
from rql.config.schema import Config
from rql.data.batch import RewardTransform
from rql.data.load import load_datasets
from rql.data.reference_scores import reference_score
from rql.data.transitions import Reference, Transitions
from rql.envs.make import inspect_env
from rql.envs.spaces import DiscreteSpec, Spaces
from rql.evaluation.video import Camera, open_camera
from rql.priors.base import Prior, open_prior
from rql.priors.filling import with_proposals
from rql.utils.errors import ConfigError
from rql.utils.tree import map_leaves


@dataclass(frozen=True)
class Setup:
    """The device, environment, data and reward of a run."""

    config: Config
    device: torch.device
    spaces: Spaces
    env: gymnasium.Env[Any, Any]
    """An instance of the environment that nobody steps."""
    offline: Transitions | None
    """D_offline; None where everything is learned online."""
    demonstrations: Transitions | None
    """D_bc."""
    reward: RewardTransform
    reference: Reference | None
    """The returns of a normalised score of 0 and of 100."""
    camera: Camera | None
    """Films the end of each stage."""
    prior: Prior | None
    """The policy that is finetuned, where that is not a clone of the run's own."""

    @property
    def asked_prior(self) -> Prior | None:
        """That policy, where it is asked for what it proposes."""
        return self.prior if self.config.asks_prior else None

    @property
    def prior_digest(self) -> str:
        """Of that policy; empty where there is none, or it is not known."""
        if self.prior is None:
            return ""
        adopted = self.prior.density if self.config.adopts_prior else None
        return adopted.digest if adopted else self.prior.digest

    @property
    def introduction(self) -> str:
        """A line that says what is about to happen."""
        task, offline, cloned = self.config.env.task, self.offline, self.demonstrations
        if self.prior is not None:
            data = f"{len(offline):,} transitions" if offline is not None else "no data"
            return f"{task}: {data}, finetuning {self.prior.name}"
        if offline is None or cloned is None:
            return f"{task}: no data, a uniform prior"
        returns = offline.returns()
        return (
            f"{task}: {len(offline):,} transitions, {len(offline.lengths):,} episodes of return "
            f"{returns.mean():,.1f} ± {returns.std():,.1f}; "
            f"cloning {len(cloned.lengths):,} of return {cloned.returns().mean():,.1f}"
        )


def build(config: Config, stack: ExitStack) -> Setup:
    """Load and check everything before any work; `stack` closes it.

    Raises:
        RQLError: if the device, the environment or a data set cannot be used, or they do not fit together.
    """
    device = find_device(config.device)
    spaces, env = inspect_env(config.env)
    with env:
        _check_noise(config, spaces)
        datasets = load_datasets(config.dataset, config.env, spaces, env)
        prior = open_prior(config, spaces, env)
    offline, demonstrations = datasets or (None, None)
    if prior is not None:
        stack.callback(prior.close)
        if offline is not None and config.asks_prior:
            offline = demonstrations = with_proposals(offline, prior, spaces, config)  # nothing is cloned
    _check_batch(config, *(datasets or ()))
    reward = _reward(config, offline)
    camera = stack.enter_context(open_camera(config.env)) if config.tracking.log_video else None
    reference = reference_of(config, offline)
    return Setup(config, device, spaces, env, offline, demonstrations, reward, reference, camera, prior)


def find_device(name: str) -> torch.device:
    """The device of a run.

    Raises:
        ConfigError: if it is unknown or not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise ConfigError("device", name, "one of cpu, cuda, cuda:N, auto")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError("device", name, f"torch sees {torch.cuda.device_count()} CUDA devices here")
    return device


def first_statistics(setup: Setup) -> Statistics:
    """Those of D_offline, or none yet where there are no data; and what is taken over from a prior."""
    if setup.offline is None:
        statistics = Statistics.unknown(setup.spaces.obs_dim, setup.device)
    else:
        statistics = Statistics.of(setup.offline, setup.config.q.discount, setup.reward, setup.device)
    if not setup.config.adopts_prior:
        return statistics
    assert setup.prior is not None and setup.prior.density is not None
    density = setup.prior.density
    normalizer, adopted = map_leaves(lambda leaf: leaf.to(setup.device), (density.normalizer, density.params))
    return statistics._replace(normalizer=normalizer, adopted=adopted)


def reference_of(config: Config, offline: Transitions | None) -> Reference | None:
    """The returns of score 0 and 100: those that the data set names, or else D4RL's."""
    if offline and offline.reference:
        return offline.reference
    return reference_score(offline.name if offline else None, config.env.id)


def _reward(config: Config, offline: Transitions | None) -> RewardTransform:
    scale = config.reward.scale
    if config.reward.return_range:
        assert offline is not None
        returns = offline.returns()
        if returns.max() == returns.min():
            allowed = f"false, for all episodes of {offline.name} have the same return"
            raise ConfigError("reward.return_range", True, allowed)
        scale *= 1000.0 / float(returns.max() - returns.min())
    return RewardTransform(scale, config.reward.shift)


def _check_noise(config: Config, spaces: Spaces) -> None:
    if config.online.noise_correlation and isinstance(spaces.action, DiscreteSpec):
        allowed = f"0, for the actions of {config.env.id} are discrete"
        raise ConfigError("online.noise_correlation", config.online.noise_correlation, allowed)


def _check_batch(config: Config, *datasets: Transitions) -> None:
    for data in datasets:
        if config.batch_size > len(data):
            allowed = f"at most {len(data)}, the transitions of data set {data.name}"
            raise ConfigError("batch_size", config.batch_size, allowed)
