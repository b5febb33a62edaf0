"""What a person sees while a run goes on: a live bar in a terminal, plain lines elsewhere."""

import sys

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from rql.config.agents.base import StageInfo
from rql.config.headline import RETURN, HeadlineInfo


class Display:
    """Progress of the stages, one after the other."""

    def __init__(self, headline: HeadlineInfo = RETURN) -> None:
        """`headline` is what is shown of evaluations."""
        self.console, self._headline = Console(), headline
        self._progress = Progress(
            TextColumn("{task.description:>18}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]} · {task.fields[rate]} ·"),
            TimeRemainingColumn(),
            TextColumn(f"· {headline.title} {{task.fields[last]}}"),
            console=self.console,
            disable=not sys.stdout.isatty(),
        )
        self._progress.start()
        self._task: TaskID | None = None

    def begin(self, stage: StageInfo, total: int, step: int) -> None:
        """Show a stage of `total` updates or environment steps, of which `step` were made before."""
        self._stage, self._total, self._last = stage, total, "–"
        self._task = self._progress.add_task(
            stage.title, total=total, completed=step, unit=stage.unit, rate="–", last="–"
        )
        if step:
            self.say(f"{stage.title:>18}  goes on from {step:,} / {total:,} {stage.unit}")

    def advance(self, step: int, seconds: float, value: float | None) -> None:
        """Show that the stage came to `step` in `seconds` of training, and the headline of an evaluation there."""
        rate = f"{step / max(1e-9, seconds):,.0f}/s"
        if value is not None:
            self._last = self._headline.written(value)
            if self._progress.disable:
                progress = f"{step:>9,} / {self._total:,} {self._stage.unit}  {rate:>8}  " if self._total else ""
                self.say(f"{self._stage.title:>18}  {progress}{self._headline.title} {self._last}")
        assert self._task is not None
        self._progress.update(self._task, completed=min(step, self._total), rate=rate, last=self._last)

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._progress.stop()
