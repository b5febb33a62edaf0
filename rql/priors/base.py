"""What a policy that is there already has to be for a run to finetune it, and how it is asked."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray

from rql.config.method import ResampleConfig
from rql.config.priors import ClonedPriorConfig
from rql.config.registry import choice_of, implementation_of
from rql.config.schema import Config
from rql.data.columns import PROPOSALS
from rql.envs.spaces import ContinuousSpec, Spaces
from rql.priors.density import Density
from rql.utils.errors import ConfigError, RQLError
from rql.utils.random import generator

Slots = NDArray[np.int64]
Proposed = NDArray[np.float32]
TRAINING, EVALUATION, FILM, FILLING = (index << 20 for index in range(4))
"""The first slot of whoever asks, so that none meets the episodes of another."""


class PriorError(RQLError):
    """A prior that does not answer, or not with actions."""


def nothing(slots: Slots) -> None:
    """What a policy without a memory does as episodes begin."""


@dataclass(frozen=True)
class Prior:
    """A frozen policy. It is asked for actions, and never differentiated.

    A slot is a place in which one episode after the other goes on: an environment, say. Its observations come in their
    order, and `reset` before the first of an episode.
    """

    name: str
    """For people: what it is and where it comes from."""
    digest: str
    """Of all that decides what it proposes; empty where that is not known, and it is asked again each time."""
    sample: Callable[[NDArray[np.float32], int, np.random.Generator, Slots], Any]
    """(observations (B, obs_dim), n, random numbers, slots (B,)) → n proposals for each in the environment's units,
    (B, n, d), or (B, n, h, d) of a `chunk` h. Observations are flat and as the environment gives them.
    """
    reset: Callable[[Slots], None] = nothing
    """An episode begins in these slots, however the one before ended."""
    module: torch.nn.Module | None = None
    """What it is where that is made of torch alone: observations (B, obs_dim) → its one action in each, (B, …), or the
    h of a chunk, (B, h, …).
    """
    chunk: int = 1
    """h: the actions of a proposal, to be made one after the other."""
    stochastic: bool = False
    """Whether two of its actions in one state may differ."""
    stateful: bool = False
    """Whether an action depends on the episode so far."""
    density: Density | None = None
    """What it is as a distribution, where that is known; `sample` draws from it."""
    close: Callable[[], None] = lambda: None
    """Ends what it needs."""


class Proposer:
    """Asks a prior at the observations of some environments, for actions in [−1, 1]^d."""

    def __init__(
        self, prior: Prior, spaces: Spaces, count: int, length: int, draws: torch.Generator, first: int
    ) -> None:
        """`count` proposals are asked for at a time, with random numbers from `draws`, a generator on the CPU, and the
        first `length` actions of each are taken; the environments have the slots from `first` on.
        """
        self._prior, self._spaces, self._count, self._length = prior, spaces, count, length
        self._draws, self._first = draws, first
        self._seen: dict[int, list[NDArray[np.float32]]] = {}
        """By environment, the observations of the running episode, for a prior that remembers them."""

    @property
    def stateful(self) -> bool:
        """Whether what is proposed depends on the episodes so far."""
        return self._prior.stateful

    def begin(self, which: Slots) -> None:
        """An episode begins in these environments."""
        self._seen.update({index: [] for index in which.tolist()})
        self._prior.reset(self._first + which)

    def propose(self, obs: NDArray[np.float32], which: Slots | None = None) -> Proposed:
        """K proposals for each of some environments, or of all, at flat observations (B, obs_dim): (B, K, d) in
        [−1, 1], or (B, K, h · d) where h actions of each are taken.

        Raises:
            PriorError: if the prior does not answer, or not with finite numbers of this shape.
        """
        which = np.arange(len(obs)) if which is None else which
        if new := {*which.tolist()} - self._seen.keys():
            self.begin(np.array(sorted(new)))
        if self.stateful:
            for index, seen in zip(which.tolist(), obs, strict=True):
                self._seen[index].append(seen.copy())
        return self._in_range(self._asked(obs, which), obs)

    def given(self, obs: torch.Tensor, which: Slots | None = None) -> dict[str, torch.Tensor]:
        """What a policy gets beside its noise at observations (B, obs_dim) of some environments, or of all."""
        proposed = torch.from_numpy(self.propose(obs.cpu().numpy(), which))
        return {PROPOSALS: proposed.to(obs.device)}

    def close(self) -> None:
        """End what the prior needs."""
        self._prior.close()

    def saved_state(self) -> dict[str, Any]:
        """Its random numbers, and what a prior that remembers was shown of the running episodes."""
        seen = tuple(np.stack(self._seen[index]) for index in sorted(self._seen)) if self.stateful else ()
        return {"draws": self._draws.get_state(), "seen": seen}

    def load(self, saved: dict[str, Any]) -> None:
        """Go on from `saved_state`: a prior that remembers is shown the running episodes again, as it was."""
        if saved["seen"]:
            self.begin(np.arange(len(saved["seen"])))
            for step in range(max(map(len, saved["seen"]))):
                which = np.array([index for index, seen in enumerate(saved["seen"]) if step < len(seen)])
                self.propose(np.stack([saved["seen"][index][step] for index in which]), which)
        self._draws.set_state(saved["draws"])

    def _asked(self, obs: NDArray[np.float32], which: Slots) -> Any:
        rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=self._draws)))
        return self._prior.sample(obs, self._count, rng, self._first + which)

    def _in_range(self, given: Any, obs: NDArray[np.float32]) -> Proposed:
        spec, name, batch = self._spaces.action, self._prior.name, len(obs)
        assert isinstance(spec, ContinuousSpec)
        actions = as_numbers(name, given)
        chunk = self._prior.chunk
        one = (chunk, spec.width) if chunk > 1 else (spec.width,)
        if actions.shape[:2] == (batch, self._count) and actions.shape[2:] != one:
            found = f"proposals of shape {actions.shape[2:]} for an observation"
            raise PriorError(f"{name} gives {found}; {'(h, d)' if chunk > 1 else '(d,)'} is {one} here")
        if actions.shape != (wanted := (batch, self._count, *one)):
            form = "(B, n, h, d)" if chunk > 1 else "(B, n, d)"
            raise PriorError(f"{name} gives actions of shape {actions.shape}; {form} is {wanted} here")
        finite = np.isfinite(actions).reshape(batch, -1).all(1)
        if not finite.all():
            row = int(finite.argmin())
            raise PriorError(f"{name} gives {actions[row].tolist()} at the observation {obs[row].tolist()}")
        taken = actions.reshape(batch * self._count, chunk, spec.width)[:, : self._length]
        flat = spec.from_env(taken.reshape(-1, *spec.shape))
        return flat.reshape(batch, self._count, -1).clip(-1.0, 1.0)


def as_numbers(name: str, given: Any) -> NDArray[np.float64]:
    """What a prior of this name gives, as an array.

    Raises:
        PriorError: if it is none of numbers.
    """
    try:
        return np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise PriorError(f"{name} gives {type(given).__name__}, which is no array of numbers") from error


def prior_draws(seed: int) -> torch.Generator:
    """The random numbers with which a run of this seed asks its prior."""
    return generator(seed, "prior", torch.device("cpu"))


def asked_for(config: Config) -> tuple[int, int]:
    """How many proposals are asked for in each state, as many as the composition chooses between, and the actions that
    are taken of each.
    """
    count = config.composition.num_candidates if isinstance(config.composition, ResampleConfig) else 1
    return count, config.chunk.length


def some_observations(spaces: Spaces, env: gymnasium.Env[Any, Any]) -> NDArray[np.float32]:
    """(2, obs_dim): always the same observation of an environment, for asking a policy what it gives."""
    env.observation_space.seed(0)
    obs = spaces.observation.flatten_one(env.observation_space.sample())
    return np.stack([obs, obs])


def open_prior(config: Config, spaces: Spaces, env: gymnasium.Env[Any, Any]) -> Prior | None:
    """The prior of a configuration, asked once; None where π_BC is cloned.

    Raises:
        ConfigError: if it does not suit the actions of the environment or the composition.
        RQLError: if it cannot be opened, or does not propose actions for the environment.
    """
    if isinstance(config.prior, ClonedPriorConfig):
        return None
    name = choice_of("prior", config.prior).name
    if not isinstance(spaces.action, ContinuousSpec) and not config.adopts_prior:
        raise ConfigError("prior", name, f"bc: the actions of {config.env.id} are discrete")
    prior: Prior = implementation_of("prior", config.prior)(config.prior, spaces, env)
    try:
        _require_composable(config, prior, isinstance(spaces.action, ContinuousSpec))
        if config.asks_prior:
            asked = (*asked_for(config), prior_draws(0), FILLING)
            Proposer(prior, spaces, *asked).propose(some_observations(spaces, env))
    except BaseException:  # a signal too: a process would outlive it
        prior.close()
        raise
    return prior


def _require_composable(config: Config, prior: Prior, continuous: bool) -> None:
    """Refuse a composition or chunks that the prior does not have what it takes for.

    Raises:
        ConfigError: with those that it does.
    """
    if config.adopts_prior:
        if prior.density is None:
            others = f"residual or resample: the density of {prior.name} is not known"
            allowed = others if continuous else f"amortized with a policy whose density is known, unlike {prior.name}"
            raise ConfigError("composition", "amortized", allowed)
        prior.density.require(config, prior.name)
        return
    if isinstance(config.composition, ResampleConfig) and prior.stateful:
        allowed = f"residual: {prior.name} remembers the episode so far, and resample asks for several actions"
        raise ConfigError("composition", "resample", allowed)
    if isinstance(config.composition, ResampleConfig) and not prior.stochastic:
        allowed = f"residual: {prior.name} proposes one action in a state, and resample chooses between several"
        raise ConfigError("composition", "resample", allowed)
    if config.chunk.length > prior.chunk:
        allowed = f"at most {prior.chunk}: so many actions at a time are what {prior.name} proposes"
        raise ConfigError("chunk.length", config.chunk.length, allowed)
