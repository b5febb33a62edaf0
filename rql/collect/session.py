"""One collection from the configuration to the data set."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

from gymnasium.vector import AutoresetMode
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rql.collect.behaviours import Behaviour, build_behaviour, env_of
from rql.collect.rollout import collect
from rql.config.collect import CollectConfig
from rql.config.data import EnvConfig
from rql.data.journal import Journal
from rql.data.load import minari_root
from rql.data.reference_scores import reference_score
from rql.data.writing import begin_set, describe_set, finish_set, leave
from rql.envs.make import inspect_env, make_vector_env, step_limit
from rql.utils.processor import prepare_processor

logger = logging.getLogger(__name__)


def run(config: CollectConfig) -> None:
    """Collect, and leave a Minari data set.

    Raises:
        RQLError: for whatever the user can put right; finished episodes are kept.
    """
    prepare_processor(config.threads)
    env_config = env_of(config)
    spaces, env = inspect_env(env_config)
    behaviour = build_behaviour(config.behaviour, env_config, spaces, env)
    console = Console()
    with minari_root(config.dataset.root), ExitStack() as stack:
        stack.callback(behaviour.close)
        with env:
            description = describe_set(config.id, env, _metadata(config, env_config, behaviour))
        journal = begin_set(description)
        stack.callback(leave, journal)
        if journal.episodes:
            console.print(f"going on after {journal.episodes:,} episodes, {journal.steps:,} steps", highlight=False)
        envs = stack.enter_context(
            closing(make_vector_env(env_config, env_config.num_envs, AutoresetMode.DISABLED, behaviour.wrap))
        )
        progress = stack.enter_context(_progress(config, journal, console))
        limit = step_limit(env_config)
        much = (config.steps, config.episodes, config.seed, limit, config.max_episode_steps)
        if cut := collect(behaviour.acting_in(envs), envs, journal, *much, progress, begin=behaviour.begin):
            most = f"max_episode_steps={config.max_episode_steps}"
            logger.warning("%s cut off %d episodes, which %s had not ended", most, cut, env_config.id)
        episodes, steps = journal.episodes, journal.steps
        path = finish_set(journal)
        console.print(f"{config.id}: {episodes:,} episodes, {steps:,} steps in {path}", highlight=False, soft_wrap=True)


def _metadata(config: CollectConfig, env: EnvConfig, behaviour: Behaviour) -> dict[str, object]:
    reference = reference_score(config.id, env.id)
    said = {"author": [config.author] if config.author else None, "description": config.description}
    return {
        "algorithm_name": behaviour.description,
        **({"behaviour_sha256": behaviour.content} if behaviour.content else {}),
        "seed": config.seed,
        **({"ref_min_score": reference.low, "ref_max_score": reference.high} if reference else {}),
        **{key: value for key, value in said.items() if value},
    }


@contextmanager
def _progress(config: CollectConfig, journal: Journal, console: Console) -> Iterator[Callable[[], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("steps" if config.episodes is None else "episodes", total=config.steps or config.episodes)

        def show() -> None:
            bar.update(task, completed=journal.steps if config.episodes is None else journal.episodes)

        yield show
