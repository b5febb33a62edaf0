"""Priors as a run opens them."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from conftest import TINY, compose_config

from rql.envs.make import inspect_env
from rql.priors.base import FILLING, Prior, Proposer, asked_for, open_prior, prior_draws

FINETUNE = ("experiment=finetune", *(one for one in TINY if not one.startswith(("dataset.", "bc.", "offline."))))


def command(path: Path) -> str:
    """What runs a script with the Python of the tests."""
    return shlex.join([sys.executable, str(path)])


@contextmanager
def opened(*overrides: str) -> Iterator[tuple[Prior, Proposer]]:
    """The prior of a configuration and what asks it, closed in the end."""
    config = compose_config(*FINETUNE, *overrides)
    spaces, env = inspect_env(config.env)
    prior = open_prior(config, spaces, env)
    env.close()
    assert prior is not None
    with closing(prior):
        yield prior, Proposer(prior, spaces, *asked_for(config), prior_draws(0), FILLING)
