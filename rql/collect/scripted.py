"""Demonstrations of the expert that comes with an environment: a Minari data set like any other, made on first use."""

import logging
import zlib
from contextlib import closing
from dataclasses import replace

from filelock import FileLock
from gymnasium.vector import AutoresetMode
from minari.data_collector.episode_buffer import EpisodeBuffer

from rql.collect.behaviours import demonstrations
from rql.collect.rollout import collect
from rql.config.choices import Failures, Reward
from rql.config.data import EnvConfig, ScriptedDatasetConfig
from rql.data.journal import SUCCESS
from rql.data.sources.minari import MinariSource, dataset_folder
from rql.data.writing import continue_set, describe_set, finish_set
from rql.envs.experts import WITH_EXPERT, has_expert
from rql.envs.make import make_env, make_vector_env, step_limit
from rql.utils.errors import ConfigError, DataError

RECIPE = 1
"""Counted up with every change of the demonstrations, so that no old set is taken for a new one."""
ATTEMPTS = 10
"""Episodes for each that is asked for, after which an expert without a success is given up."""
MAX_EPISODE_STEPS = 10_000
OWNER = "made_for"
logger = logging.getLogger(__name__)


def open_scripted(config: ScriptedDatasetConfig, env_config: EnvConfig) -> MinariSource:
    """The data set of `dataset=scripted`, made now if it is not there; of several processes one makes it.

    Raises:
        ConfigError: if the environment brings no expert.
        DataError: if the expert does not succeed.
        RQLError: if it cannot be written; finished episodes are kept, and gone on after.
    """
    if not has_expert(env_config):
        allowed = f"{env_config.id} brings no expert: {WITH_EXPERT} do; see dataset=minari"
        raise ConfigError("dataset", "scripted", allowed)
    # rewards and ends are those of the environment: they are relabelled as the data are read
    own = replace(env_config, reward=Reward.environment, terminate_on_success=False)
    id = scripted_id(config, own)
    path = dataset_folder(id)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):
            if not path.exists():
                _make(id, config, own)
    return MinariSource(id, path / "data")


def scripted_id(config: ScriptedDatasetConfig, env_config: EnvConfig) -> str:
    """The id says all that the demonstrations depend on."""
    task = env_config.task.rpartition("-v")[0].lower()
    changed = f"-{zlib.crc32(repr(sorted(env_config.kwargs.items())).encode()):08x}" if env_config.kwargs else ""
    failures = "-with-failures" if config.failures is Failures.keep else ""
    how = f"{config.episodes}-episodes{failures}-noise-{config.noise:g}-seed-{config.seed}"
    return f"rql/{task.replace('.', '_')}{changed}/scripted-{how.replace('.', '_')}-v{RECIPE}"


class Kept:
    """Which episodes are demonstrations."""

    def __init__(self, config: ScriptedDatasetConfig, env: str) -> None:
        self._config, self._env, self._succeeded, self._played = config, env, 0, 0

    def __call__(self, episode: EpisodeBuffer) -> bool:
        """Whether an episode is kept.

        Raises:
            DataError: if none of very many succeeded.
        """
        success = episode.infos is not None and bool(episode.infos[SUCCESS].any())
        self._played, self._succeeded = self._played + 1, self._succeeded + success
        if self._config.failures is Failures.keep:
            return True
        if not self._succeeded and self._played >= ATTEMPTS * self._config.episodes:
            remedy = "dataset.noise=0 makes it as good as it is, dataset.failures=keep keeps what it did"
            raise DataError(f"the expert of {self._env} succeeded in 0 of {self._played} episodes ({remedy})")
        return success


def _make(id: str, config: ScriptedDatasetConfig, env_config: EnvConfig) -> None:
    behaviour = demonstrations(env_config, config.noise)
    with make_env(env_config) as env:
        said = {"algorithm_name": behaviour.description, "seed": config.seed, OWNER: "dataset=scripted"}
        journal = continue_set(describe_set(id, env, said), OWNER)
    logger.info("making %d demonstrations: %s", config.episodes, id)
    try:
        # one environment, so that the set is that of the first seeds whatever cuts it off
        envs = make_vector_env(env_config, 1, AutoresetMode.DISABLED, behaviour.wrap)
        with closing(envs):
            keep = Kept(config, env_config.task)
            much = (None, config.episodes, config.seed, step_limit(env_config), MAX_EPISODE_STEPS)
            collect(behaviour.acting_in(envs), envs, journal, *much, lambda: None, keep)
        finish_set(journal)
    finally:
        journal.close()
