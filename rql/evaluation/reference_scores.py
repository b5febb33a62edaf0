"""Returns of a random and of an expert policy, for normalised scores where the data set names none.

Source: `D4RL/infos.py` of the Farama Foundation's D4RL, as used by Fu et al. 2020. They were measured on the v2
environments; for the later versions of the same tasks they are the convention, not a measurement.
"""

from rql.data.transitions import Reference

D4RL = {
    "HalfCheetah": Reference(-280.178953, 12135.0),
    "Hopper": Reference(-20.272305, 3234.3),
    "Walker2d": Reference(1.629008, 4592.3),
    "Ant": Reference(-325.6, 3879.7),
}


def reference_score(env_id: str) -> Reference | None:
    """The reference of an environment, whatever its version, or None where there is none."""
    return D4RL.get(env_id.split("-v")[0])
