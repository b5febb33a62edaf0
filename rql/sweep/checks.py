"""What the environments and data sets of a sweep's jobs say, before the first job runs."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import fields, replace

from rql.config.schema import Config
from rql.runs.folder import run_label
from rql.sweep.identity import swept_values
from rql.sweep.jobs import Job
from rql.utils.errors import RQLError

LOOKED_AT = ("env", "dataset", "reward", "batch_size", "prior", "composition")
"""What decides whether an environment, its data and a prior can be used; jobs that are equal in these are looked at
once.
"""
FITTING_PRIOR = ("network", "policy", "chunk")
"""What decides that too where a policy is finetuned that is there already."""


def is_looked_at(key: str) -> bool:
    """Whether a dotted key, or a group, decides what is looked at; a group such as `experiment` may."""
    path = key.replace("/", ".").split(".")
    return path[0] in LOOKED_AT or path[0] not in {field.name for field in fields(Config)}


def check_jobs(jobs: Sequence[Job], swept: Sequence[str]) -> None:
    """Make each environment and open each data set once, as the jobs will.

    Raises:
        RQLError: if one cannot be used, or they do not fit together; it says in which job.
    """
    different = {json.dumps([job.config[name] for name in _decisive(job)]): job for job in reversed(jobs)}
    for job in reversed(different.values()):
        try:
            _check(job)
        except RQLError as error:
            label = run_label(swept_values(swept, job.config, job.choices))
            raise RQLError(f"{error} (in the job {label}; no job was started)") from error


def _decisive(job: Job) -> Sequence[str]:
    return LOOKED_AT if job.choices.get("prior") == "bc" else (*LOOKED_AT, *FITTING_PRIOR)


def _check(job: Job) -> None:
    from rql.data.load import resolve_env  # where all jobs are done, nobody need wait for torch
    from rql.runs.setup import build

    config = job.recorded()
    with ExitStack() as stack:  # a GPU may be where the jobs run, and not here
        build(replace(config, device="cpu", env=resolve_env(config.dataset, config.env)), stack)
