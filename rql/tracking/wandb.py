"""Weights & Biases as a view of the local record. Whatever goes wrong with it, the run goes on."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rql.config.choices import WandbMode
from rql.config.schema import TrackingConfig
from rql.training.ticks import Stage

STEP_NAMES: dict[Stage, str] = {"bc": "bc/update", "offline": "offline/update", "online": "online/env_step"}
INIT_SECONDS = 30.0

logger = logging.getLogger(__name__)


class WandbView:
    """One W&B run, or nothing where tracking is disabled or W&B has failed."""

    def __init__(self, settings: TrackingConfig, directory: Path, config: dict[str, Any], run_id: str) -> None:
        self._run: Any = None
        if settings.mode is not WandbMode.disabled:
            self._attempt(lambda: self._start(settings, directory, config, run_id))

    @property
    def where(self) -> str:
        """What a person needs to find the run, or an empty string."""
        if self._run is None or self._run.disabled:
            return ""
        return f"wandb sync {Path(self._run.dir).parent}" if self._run.offline else str(self._run.url)

    def log(self, stage: Stage, step: int, metrics: dict[str, float]) -> None:
        """Send one line of the record, as `stage/metric` over `bc/update`, `offline/update` or `online/env_step`."""
        if self._run is not None:
            line = {f"{stage}/{name}": value for name, value in metrics.items()} | {STEP_NAMES[stage]: step}
            self._attempt(lambda: self._run.log(line))

    def finish(self, summary: dict[str, Any], exit_code: int) -> None:
        """Send the summary and close the run."""
        if self._run is not None:
            self._attempt(lambda: self._run.summary.update(summary))
        if self._run is not None:
            self._attempt(lambda: self._run.finish(exit_code=exit_code))

    def _start(self, settings: TrackingConfig, directory: Path, config: dict[str, Any], run_id: str) -> None:
        import wandb

        mode = _mode(settings.mode)
        if mode == "online" and not _logged_in():  # wandb would ask for a key, and wait
            logger.warning("no W&B login (`wandb login` makes one); this run is logged offline")
            mode = "offline"
        try:
            run = self._init(mode, settings, directory, config, run_id)
        except Exception as error:
            if mode == "offline":
                raise
            logger.warning("W&B cannot be reached (%s); this run is logged offline", _first_line(error))
            wandb.teardown()
            run = self._init("offline", settings, directory, config, run_id)
        for stage, name in STEP_NAMES.items():
            run.define_metric(name, hidden=True)
            run.define_metric(f"{stage}/*", step_metric=name)
        self._run = run

    @staticmethod
    def _init(mode: str, settings: TrackingConfig, directory: Path, config: dict[str, Any], run_id: str) -> Any:
        import wandb

        return wandb.init(
            mode=mode,  # type: ignore[arg-type]
            project=settings.project,
            entity=settings.entity,
            group=settings.group,
            name=settings.name,
            tags=settings.tags,
            notes=settings.notes,
            config=config,
            id=run_id,
            resume="allow" if mode == "online" else None,  # wandb cannot resume offline; sync joins what has one id
            dir=directory,
            reinit="create_new",
            settings=wandb.Settings(console="off", silent=True, init_timeout=INIT_SECONDS),
        )

    def _attempt(self, action: Callable[[], Any]) -> None:
        try:
            action()
        except Exception as error:  # whatever a third party's service does, the run goes on
            logger.warning("W&B failed; the run goes on with its local record alone: %s", _first_line(error))
            self._run = None


def _mode(mode: WandbMode) -> str:
    if mode is not WandbMode.auto:
        return mode.name
    return os.environ.get("WANDB_MODE") or ("online" if _logged_in() else "offline")


def _logged_in() -> bool:
    import wandb

    return wandb.login(prompt=False, verify=False)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
