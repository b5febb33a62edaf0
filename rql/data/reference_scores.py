"""Returns of a random and of an expert policy, for normalised scores where the data set names none.

Source: `d4rl/infos.py` of the Farama Foundation's D4RL, as used by Fu et al. 2020. They were measured on D4RL's own
environments; for the later versions of the same tasks they are the convention, not a measurement.
"""

import re

from rql.data.transitions import Reference

D4RL = {
    "halfcheetah": Reference(-280.178953, 12135.0),
    "hopper": Reference(-20.272305, 3234.3),
    "walker2d": Reference(1.629008, 4592.3),
    "ant": Reference(-325.6, 3879.7),
    "antmaze": Reference(0.0, 1.0),
    "maze2d-open": Reference(0.01, 20.66),
    "maze2d-umaze": Reference(23.85, 161.86),
    "maze2d-medium": Reference(13.13, 277.39),
    "maze2d-large": Reference(6.7, 273.99),
    "maze2d-open-dense": Reference(11.17817, 27.166538620695782),
    "maze2d-umaze-dense": Reference(68.537689, 193.66285642381482),
    "maze2d-medium-dense": Reference(44.264742, 297.4552547777125),
    "maze2d-large-dense": Reference(30.569041, 303.4857382709002),
    "pen": Reference(96.262799, 3076.8331017826877),
    "hammer": Reference(-274.856578, 12794.134825156867),
    "door": Reference(-56.512833, 2880.5693087298737),
    "relocate": Reference(-6.425911, 4233.877797728884),
    "kitchen": Reference(0.0, 4.0),
}
"""By task; every data set of a task shares its scores."""

QUALITIES = {
    *("random", "simple", "medium", "expert", "full"),
    *("open", "umaze", "large"),
    *("human", "cloned"),
    *("complete", "partial", "mixed"),
}
"""The second words of the names of D4RL's and Minari's data sets."""


def reference_score(dataset: str | None, env_id: str) -> Reference | None:
    """The reference that the environment says, whatever its version (`Hopper-v5`, `PointMaze_UMaze-v3`), or else the
    name of a data set of D4RL or Minari (`hopper-medium-v2`, `D4RL/antmaze/umaze-v1`); None where neither does.
    """
    for task in (_task_of_env(env_id), _task_of_name(dataset or "")):
        if task in D4RL:
            return D4RL[task]
    return None


def _task_of_name(name: str) -> str:
    """Only a name with a quality that D4RL or Minari knows, and a version, is taken for one of theirs."""
    words = re.split(r"[-/_.]+", name.lower().removeprefix("d4rl/").removeprefix("mujoco/"))
    if len(words) < 3 or words[1] not in QUALITIES or not re.fullmatch(r"v\d+", words[-1]):
        return ""
    if words[0] not in ("maze2d", "pointmaze"):
        return words[0]
    return f"maze2d-{words[1]}{'-dense' if 'dense' in words else ''}"


def _task_of_env(id: str) -> str:
    task = id.rpartition(":")[2].split("-v")[0]
    if maze := re.fullmatch(r"PointMaze_(Open|UMaze|Medium|Large)(_Diverse_GR?)?(Dense)?", task):
        return f"maze2d-{maze[1].lower()}{'-dense' if maze[3] else ''}"
    if hand := re.fullmatch(r"AdroitHand(Pen|Hammer|Door|Relocate)(Sparse)?", task):
        return hand[1].lower()
    if task.startswith("AntMaze_"):
        return "antmaze"
    return "kitchen" if task == "FrankaKitchen" else task.lower()
