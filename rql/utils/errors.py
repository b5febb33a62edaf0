"""The errors a user can cause. Each is one sentence; `run.py` prints it and exits with a non-zero code."""

from typing import Any


class RQLError(Exception):
    """Something the user can put right; its text says what."""


class ConfigError(RQLError):
    """A configuration value that cannot work."""

    def __init__(self, field: str, value: Any, allowed: str) -> None:
        super().__init__(f"{field}={value} is not possible: {allowed}")


class DataError(RQLError):
    """A data set that is missing, damaged or made for another environment."""


class DamagedError(RQLError):
    """A file whose content is not what was written, or that is gone."""


class DivergenceError(RQLError):
    """A loss that is not finite, or a Q that has left all bounds."""

    def __init__(self, what: str) -> None:
        super().__init__(f"training diverged: {what}")
        self.what = what


class EvaluationError(RQLError):
    """An evaluation that cannot be made: environments fail in it again and again, or a prior does."""


class PrunedError(Exception):
    """A job of a sweep that does worse than the others ends here."""

    def __init__(self, step: int, value: float) -> None:
        """`value` is the headline of its evaluation after `step` environment steps."""
        super().__init__(step, value)
        self.step, self.value = step, value


class Preempted(BaseException):
    """A signal asks the run to end. Not an error, and nothing that catches errors should catch it."""
