"""The typed configuration of the prior: π_BC, as it is cloned here or as a policy that is there already."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from omegaconf import MISSING

from rql.config.choices import ActionMode, PolicyClass
from rql.config.method import AmortizedConfig, ValueBaselineConfig, without_density
from rql.config.registry import choice_of, register
from rql.config.settings import Check, Role, WholeConfig, at_least, positive


@dataclass
class PriorConfig:
    """The policy that is finetuned, π_BC in the equations."""


@register("prior", "bc")
@dataclass
class ClonedPriorConfig(PriorConfig):
    """The clone of D_bc that the run begins with; uniform where policy=uniform."""


@dataclass
class GivenPriorConfig(PriorConfig):
    """A policy that is there already and does not change; it is known by the actions that it proposes.

    Some are known by their density: then `composition=amortized` takes the network over, and asks nothing.
    """

    has_density: ClassVar[bool] = False
    """Whether there may be one whose density is known."""

    def check(self, config: WholeConfig) -> Iterator[Check]:
        """Whether the rest can do without a density of the prior."""
        name = f"prior={choice_of('prior', self).name}"
        baseline = choice_of("baseline", config.baseline).name
        updates, allowed = config.bc.updates, f"0 with {name}: experiment=finetune has what goes with it"
        yield "bc.updates", updates, updates == 0, allowed
        cloned = config.policy.name is not PolicyClass.auto
        yield "policy.name", config.policy.name.name, not cloned, f"auto with {name}"
        source = config.dataset.bc.source
        yield "dataset.bc.source", source, source is None, f"null with {name}"
        learned = isinstance(config.baseline, ValueBaselineConfig)
        yield "baseline", baseline, not learned, f"none or mean with {name}, for V_BC is learned with a clone"
        if not (self.has_density and isinstance(config.composition, AmortizedConfig)):
            yield from without_density(name, config)


@dataclass
class RunPolicyConfig:
    """A policy that `run.py` trained."""

    run: str = MISSING
    """The folder of the run."""
    policy: str | None = None
    """A policy of the run's agent, such as `bc`; null is the one that was finetuned."""


@dataclass
class SB3PolicyConfig:
    """A policy that stable-baselines3 trained."""

    path: str = MISSING
    """The .zip file."""
    algorithm: str = "SAC"
    """Its class in stable_baselines3."""
    trusted: bool = False
    """Such a file may carry code, which runs as it is opened; say that you know where yours is from."""


@dataclass
class ModePriorConfig(GivenPriorConfig):
    """A distribution over actions."""

    mode: ActionMode = ActionMode.mode
    """Its most probable action, or one that is drawn."""


@register("prior", "run", "rql.priors.run:open_run")
@dataclass
class RunPriorConfig(RunPolicyConfig, ModePriorConfig):
    """A policy that `run.py` trained, as its clone or its finetuned policy."""

    has_density: ClassVar[bool] = True

    def check(self, config: WholeConfig) -> Iterator[Check]:
        """Whether what is taken over is a distribution."""
        yield from super().check(config)
        sampled = self.mode is ActionMode.sample or not isinstance(config.composition, AmortizedConfig)
        allowed = "sample with composition=amortized, which follows the density of the prior"
        yield "prior.mode", self.mode.name, sampled, allowed


@dataclass
class FilePriorConfig(GivenPriorConfig):
    """A policy in a file, which maps flat observations (B, obs_dim) float32 to the environment's actions (B, …)."""

    path: str = MISSING
    """The file."""


@register("prior", "torchscript", "rql.priors.files:open_torchscript")
@dataclass
class TorchScriptPriorConfig(FilePriorConfig):
    """A TorchScript file, such as `rql export --to torchscript` writes."""


@register("prior", "onnx", "rql.priors.files:open_onnx")
@dataclass
class ONNXPriorConfig(FilePriorConfig):
    """An ONNX file, such as `rql export --to onnx` writes."""


@register("prior", "sb3", "rql.priors.sb3:open_sb3")
@dataclass
class SB3PriorConfig(SB3PolicyConfig, ModePriorConfig):
    """A policy that stable-baselines3 trained."""


@register("prior", "python", "rql.priors.python:open_python")
@dataclass
class PythonPriorConfig(GivenPriorConfig):
    """Code of your own."""

    target: str = MISSING
    """`package.module:make`, on PYTHONPATH or right here; what `make` returns is the policy."""
    kwargs: dict[str, Any] = field(default_factory=dict)
    """What `make` is called with."""
    trusted: bool = False
    """The module is imported, and its code runs; say that you know it."""


@register("prior", "process", "rql.priors.process:open_process")
@dataclass
class ProcessPriorConfig(GivenPriorConfig):
    """A program that proposes actions, with a Python and packages of its own."""

    command: str = MISSING
    """What starts it, as a shell reads it."""
    timeout: float = positive(60.0, Role.how)
    """Seconds that it may take to start, and for each answer."""
    max_restarts: int = at_least(3, 0, Role.how)
    """How often it is started anew after it ended, hung or answered nonsense, before the run gives up."""
