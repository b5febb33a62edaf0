"""What finetuning adds: evaluations beside those of the policy that a run began with."""

from collections.abc import Sequence

import numpy as np

from rql.config.choices import ActionMode
from rql.config.headline import RETURN, HeadlineInfo
from rql.data.transitions import Reference
from rql.evaluation.rollout import Episode
from rql.runs.callbacks import Callback, Report


class CompareWithBaseline(Callback):
    """Sets each evaluation of later stages beside the run's own baseline, which is its clone, in the same episodes."""

    def __init__(self, headline: HeadlineInfo, mode: ActionMode, reference: Reference | None) -> None:
        """`mode` is that of the headline, and `reference` what a normalised score is of, if there is one."""
        self._headline, self._mode, self._reference = headline, mode, reference
        self._episodes: dict[str, list[float]] = {}

    def report(self, report: Report) -> None:
        """Add the baseline, and the gain over it, to each evaluation."""
        if self._headline.metric not in report.metrics:
            return
        if report.trainer.info.baseline:
            self._keep(report.episodes)
        elif self._episodes:
            count = int(report.metrics["return_episodes"])
            found = {metric: float(np.mean(values[:count])) for metric, values in self._episodes.items()}
            gain = self._headline.value(report.metrics) - self._headline.value(found)
            if self._reference is not None:
                found["normalized_score"] = self._reference.score(found[RETURN.metric])
            report.metrics |= {f"baseline_{name}": value for name, value in found.items()} | {"gain": gain}

    def saved_state(self) -> dict[str, list[float]]:
        """The figures of the baseline's episodes by metric."""
        return self._episodes

    def load(self, saved: dict[str, list[float]]) -> None:
        """Go on from `saved_state`."""
        self._episodes = saved

    def _keep(self, played: Sequence[Episode]) -> None:
        episodes = [episode for episode in played if episode.mode == self._mode.name]
        if not episodes:
            return
        self._episodes = {RETURN.metric: [episode.value for episode in episodes]}
        if self._headline.share:
            self._episodes[self._headline.metric] = [float(episode.success or 0.0) for episode in episodes]
