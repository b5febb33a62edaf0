"""Environments that a package brings which need not be there: what brings it, and up to which MuJoCo it works."""

import importlib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import gymnasium

from rql.envs.display import draw_without_display
from rql.utils.errors import ConfigError
from rql.utils.extras import remedy


@dataclass(frozen=True)
class Family:
    """The environments of a package."""

    ids: tuple[str, ...]
    """How their ids begin."""
    module: str
    """Registers them with gymnasium where it is imported."""
    package: str
    extra: str
    """Of this package, which brings that one."""
    mujoco: tuple[int, int]
    """The last MuJoCo under which all of them work."""


FAMILIES = (
    Family(
        ("PointMaze", "AntMaze", "AdroitHand", "FrankaKitchen", "Fetch", "HandManipulate", "HandReach"),
        "gymnasium_robotics",
        "gymnasium-robotics",
        "robotics",
        (3, 11),
    ),
    Family(("rql/MetaWorld",), "rql.envs.metaworld", "metaworld", "manipulation", (3, 3)),
    Family(
        (
            "cube-",
            "scene-",
            "puzzle-",
            "pointmaze-",
            "antmaze-",
            "humanoidmaze-",
            "antsoccer-",
            "visual-",
            "powderworld-",
        ),
        "ogbench",
        "ogbench",
        "manipulation",
        (3, 3),
    ),
)


def import_family(id: str) -> Family | None:
    """Import what registers an environment, by its id; None where nothing is to be imported for it.

    What is imported here and after may import MuJoCo, which then draws as `draw_without_display` says.

    Raises:
        ConfigError: if the package is missing; it names the command that brings it.
    """
    draw_without_display()
    family = next((family for family in FAMILIES if id.startswith(family.ids)), None)
    if family is not None and id not in gymnasium.registry:
        try:
            importlib.import_module(family.module)
        except ImportError as error:
            raise ConfigError("env.id", id, f"it needs {family.package}: {remedy(family.extra)}") from error
    return family


def too_new(family: Family | None) -> str | None:
    """What to do about the MuJoCo that is installed, if it is newer than what a family works under."""
    if family is None:
        return None
    try:
        found = version("mujoco")
    except PackageNotFoundError:
        return None
    major, minor, *_ = (int(part) for part in found.split(".")[:2])
    if (major, minor) <= family.mujoco:
        return None
    newest = ".".join(map(str, family.mujoco))
    return f"{family.package} works with MuJoCo up to {newest}, and {found} is installed: {remedy(family.extra)}"
