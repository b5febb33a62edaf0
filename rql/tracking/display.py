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


class Display:
    """Progress of the stages, one after the other."""

    def __init__(self) -> None:
        self.console = Console()
        self._progress = Progress(
            TextColumn("{task.description:>18}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]} · {task.fields[rate]} ·"),
            TimeRemainingColumn(),
            TextColumn("· return {task.fields[last]}"),
            console=self.console,
            disable=not sys.stdout.isatty(),
        )
        self._progress.start()
        self._task: TaskID | None = None

    def begin(self, info: StageInfo, total: int, step: int) -> None:
        """A stage of `total` updates or environment steps begins, or goes on from one of them."""
        self._info, self._total, self._last = info, total, "–"
        self._task = self._progress.add_task(
            info.title, total=total, completed=step, unit=info.unit, rate="–", last="–"
        )
        if step:
            self.say(f"{info.title:>18}  goes on from {step:,} / {total:,} {info.unit}")

    def advance(self, step: int, seconds: float, mean_return: float | None) -> None:
        """The stage has come to `step` in `seconds` of training; `mean_return` is that of an evaluation just made."""
        rate = f"{step / max(1e-9, seconds):,.0f}/s"
        if mean_return is not None:
            self._last = f"{mean_return:,.1f}"
            if self._progress.disable:
                title = f"{self._info.title:>18}"
                self.say(f"{title}  {step:>9,} / {self._total:,} {self._info.unit}  {rate:>8}  return {self._last}")
        assert self._task is not None
        self._progress.update(self._task, completed=min(step, self._total), rate=rate, last=self._last)

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._progress.stop()
