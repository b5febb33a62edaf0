"""Weights & Biases as a view of the local record. Whatever goes wrong with it, the run goes on."""

import logging
import os
import shutil
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import yaml

from rql.config.agents.base import StageInfo
from rql.config.choices import WandbMode
from rql.config.running import TrackingConfig
from rql.evaluation.rollout import EPISODE_COLUMNS, Episode
from rql.runs.folder import Identity
from rql.tracking.swept import name_of, tags_of, with_swept

INIT_SECONDS = 30.0
FINISH_SECONDS = 300.0
"""How long a run that has ended waits for what is not uploaded yet."""

logger = logging.getLogger(__name__)


class RunEnd(Enum):
    """How a run, or an attempt at it, ended."""

    finished = "finished"
    pruned = "pruned"
    preempted = "preempted"
    """It was asked to end, and can go on."""
    failed = "failed"


class WandbView:
    """One W&B run, or nothing where tracking is disabled or W&B has failed."""

    def __init__(self, settings: TrackingConfig, directory: Path, config: dict[str, Any], identity: Identity) -> None:
        self._directory = directory
        self._run: Any = None
        self._defined: set[StageInfo] = set()
        if settings.mode is not WandbMode.disabled:
            self._attempt(lambda: self._start(settings, directory, config, identity))

    @property
    def where(self) -> str:
        """What a person needs to find the run, or an empty string."""
        if self._run is None or self._run.disabled:
            return ""
        return f"rql track sync {self._directory}" if self._run.offline else str(self._run.url)

    def log(self, stage: StageInfo, step: int, metrics: dict[str, float]) -> None:
        """Send one line of the record, as `stage/metric` over the stage's steps, such as `online/env_step`."""
        if self._run is not None:
            self._attempt(lambda: self._log(stage, step, metrics))

    def log_video(self, stage: StageInfo, step: int, path: Path) -> None:
        """Send the film of a stage, as `stage/video`."""
        if self._run is not None:
            import wandb

            self._attempt(lambda: self._log(stage, step, {"video": wandb.Video(str(path))}))

    def log_policy(self, path: Path) -> None:
        """Send a file of a saved agent, as the artifact `policy-RUN_ID` of type `model`."""
        if self._run is not None:
            self._attempt(lambda: self._log_policy(path))

    def log_episodes(self, stage: StageInfo, step: int, episodes: Sequence[Episode]) -> None:
        """Send the episodes of an evaluation as the table `stage/episodes`."""
        if self._run is not None:
            import wandb

            rows = [list(episode) for episode in episodes]
            self._attempt(lambda: self._log(stage, step, {"episodes": wandb.Table([*EPISODE_COLUMNS], rows)}))

    def finish(self, summary: dict[str, Any], end: RunEnd) -> None:
        """Send the summary with the key `state`, and close the run. What was pruned did not fail."""
        if self._run is not None:
            self._attempt(lambda: self._run.summary.update(summary | {"state": end.value}))
        if self._run is not None and end is RunEnd.preempted:
            self._attempt(lambda: self._run.mark_preempting())
        if self._run is not None:
            self._attempt(lambda: self._close(0 if end in (RunEnd.finished, RunEnd.pruned) else 1))

    def _log(self, stage: StageInfo, step: int, values: dict[str, Any]) -> None:
        if stage not in self._defined:
            self._run.define_metric(stage.step_metric, hidden=True)
            self._run.define_metric(f"{stage.name}/*", step_metric=stage.step_metric)
            self._defined.add(stage)
        self._run.log({f"{stage.name}/{name}": value for name, value in values.items()} | {stage.step_metric: step})

    def _close(self, exit_code: int) -> None:
        try:
            self._run.finish(exit_code=exit_code)
        except TimeoutError:
            rest = f"wandb sync --include-online {Path(self._run.dir).parent}"
            logger.warning("W&B has not taken everything in %.0f s; `%s` uploads the rest", FINISH_SECONDS, rest)

    def _log_policy(self, path: Path) -> None:
        import wandb

        # offline it is uploaded later, when a run that goes on may have written another one
        copy = Path(self._run.dir).parent / "policy" / path.name
        copy.parent.mkdir()
        shutil.copyfile(path, copy)
        artifact = wandb.Artifact(f"policy-{self._run.id}", type="model")
        artifact.add_file(str(copy), policy="immutable")
        self._run.log_artifact(artifact)

    def _start(self, settings: TrackingConfig, directory: Path, config: dict[str, Any], identity: Identity) -> None:
        import wandb

        mode = _mode(settings.mode)
        if mode == "disabled":
            return
        if mode == "online" and not logged_in():  # wandb would ask for a key, and wait
            logger.warning("no W&B login (`wandb login` makes one); this run is logged offline")
            mode = "offline"
        try:
            run = self._init(mode, settings, directory, config, identity)
        except Exception as error:
            if mode == "offline":
                raise
            logger.warning("W&B cannot be reached (%s); this run is logged offline", _first_line(error))
            wandb.teardown()
            run = self._init("offline", settings, directory, config, identity)
        self._run = run
        recorded = Path(run.dir) / "run-config.yaml"  # config.yaml is W&B's own
        recorded.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        run.save(str(recorded), base_path=run.dir, policy="now")

    @staticmethod
    def _init(mode: str, settings: TrackingConfig, directory: Path, config: dict[str, Any], identity: Identity) -> Any:
        import wandb

        return wandb.init(
            mode=mode,  # type: ignore[arg-type]
            project=settings.project,
            entity=settings.entity,
            group=settings.group,
            job_type=settings.job_type,
            name=settings.name or name_of(identity, config),
            tags=list(dict.fromkeys([*settings.tags, *tags_of(identity.swept)])),
            notes=settings.notes,
            config=with_swept(config, identity.swept),
            id=identity.run_id,
            resume="allow",  # offline too: it tells `wandb sync` to add this segment to those that are there
            dir=directory,
            reinit="create_new",
            settings=wandb.Settings(
                console="wrap",  # into files/output.log; what git has not committed is in files/diff.patch
                silent=True,
                init_timeout=INIT_SECONDS,
                finish_timeout=FINISH_SECONDS,
                finish_timeout_raises=True,
            ),
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
    if os.environ.get("WANDB_DISABLED", "").lower() in ("1", "true", "yes", "on"):  # W&B itself no longer reads it
        return "disabled"
    return os.environ.get("WANDB_MODE") or ("online" if logged_in() else "offline")


def logged_in() -> bool:
    """Whether there is a W&B login on this machine."""
    import wandb

    return wandb.login(prompt=False, verify=False)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
