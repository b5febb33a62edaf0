"""The data sets of a sweep, which are here before any of its jobs begins."""

import json
from collections.abc import Iterable

from rql.config.compose import from_plain
from rql.config.data import DatasetConfig, MinariDatasetConfig
from rql.sweep.jobs import Job


def require_datasets(jobs: Iterable[Job]) -> None:
    """Fetch what is missing, once for all jobs.

    Raises:
        DataError: if a data set is neither here nor to be had.
    """
    distinct = {json.dumps(job.config.get("dataset"), sort_keys=True): job for job in jobs}
    for dataset in [from_plain(job.config, job.choices).dataset for job in distinct.values()]:
        if _may_be_missing(dataset):
            from rql.data.load import fetch_missing  # a sweep without such data need not wait for minari

            fetch_missing(dataset)


def _may_be_missing(dataset: DatasetConfig) -> bool:
    return isinstance(dataset, MinariDatasetConfig) or bool(dataset.mix or dataset.bc.source)
