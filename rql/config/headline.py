"""The figure of an evaluation that all else goes by: what it is called, how it is written, how sure it is."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rql.config.choices import Headline
from rql.utils.binomial import wilson

Figures = Mapping[str, Any]
"""The metrics of an evaluation by their names, which may all begin with a prefix such as `online/`."""


@dataclass(frozen=True)
class HeadlineInfo:
    """By what policies are compared, from which every title, unit and interval comes; run.json has it."""

    metric: str
    """Its name among the metrics of an evaluation."""
    title: str
    """Its name for a person."""
    share: bool
    """Whether it is a share of the episodes: people read it in percent, and its interval is binomial."""

    @classmethod
    def of(cls, choice: Headline) -> "HeadlineInfo":
        """What is known of `env.headline`."""
        return {Headline["return"]: RETURN, Headline.success: SUCCESS}[choice]

    @property
    def shown(self) -> "tuple[HeadlineInfo, ...]":
        """This one, and the return beside it."""
        return tuple(dict.fromkeys((self, RETURN)))

    @property
    def spread(self) -> tuple[str, ...]:
        """The names of the metrics with its interval, or else with its deviation over episodes."""
        return (f"{self.metric}_low", f"{self.metric}_high") if self.share else (f"{self.metric}_std",)

    @property
    def scale(self) -> float:
        """How many of the units that people read are 1."""
        return 100.0 if self.share else 1.0

    @property
    def unit(self) -> str:
        """What a number on this scale is."""
        return f"{self.title} in %" if self.share else self.title

    @property
    def units(self) -> str:
        """What several such numbers are."""
        return f"{self.title}s in %" if self.share else f"{self.title}s"

    def value(self, figures: Figures, prefix: str = "") -> float:
        """Its value in an evaluation; a share is in [0, 1]."""
        return float(figures[f"{prefix}{self.metric}"])

    def rank(self, figures: Figures, prefix: str = "") -> tuple[float, ...]:
        """More for a better evaluation: of two with the same headline that with the higher return."""
        return tuple(one.value(figures, prefix) for one in self.shown)

    def recorded(self, figures: Figures) -> dict[str, float]:
        """What the record of an evaluation has besides: the 95 % interval of a share, by Wilson."""
        if not self.share:
            return {}
        count = round(figures["return_episodes"])
        return dict(zip(self.spread, wilson(round(self.value(figures) * count), count), strict=True))

    def band(self, figures: Figures, prefix: str = "") -> tuple[float, float]:
        """The interval that is recorded of a share; of any other a standard deviation to either side."""
        spread = [float(figures[f"{prefix}{name}"]) for name in self.spread]
        if self.share:
            return spread[0], spread[1]
        value = self.value(figures, prefix)
        return value - spread[0], value + spread[0]

    def written(self, value: float) -> str:
        """A value for a person: `72 %`, or `-1,234.5`."""
        if self.share:
            return f"{value:.0%}".replace("%", " %")
        return f"{value:,.1f}" if abs(value) < 1e7 else f"{value:.3e}"

    def said(self, figures: Figures, prefix: str = "") -> str:
        """Its value in an evaluation for a person, a share with its interval: `72 % (63 to 80)`."""
        value = self.written(self.value(figures, prefix))
        if not self.share:
            return value
        low, high = (f"{self.scale * end:.0f}" for end in self.band(figures, prefix))
        return f"{value} ({low} to {high})"

    def to_plain(self) -> dict[str, Any]:
        """What JSON has of it."""
        return asdict(self)


RETURN = HeadlineInfo("return", "return", share=False)
SUCCESS = HeadlineInfo("success_rate", "success rate", share=True)


def common(headlines: Iterable[HeadlineInfo]) -> HeadlineInfo:
    """By what all are compared: their own headline, or the return, which all have, where these differ."""
    found = set(headlines)
    return found.pop() if len(found) == 1 else RETURN
