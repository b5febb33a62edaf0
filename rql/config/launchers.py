"""Hydra's launchers and sweepers as this package wants them, where their plugins are installed."""

from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigLoadError
from omegaconf import OmegaConf, open_dict

from rql.utils.extras import remedy

TUNED: dict[str, dict[str, Any]] = {
    # as many jobs at once as there are cores, one torch thread each; handed out when a core is free
    "launcher/joblib": {"n_jobs": -1, "pre_dispatch": "n_jobs", "batch_size": 1},
    # all jobs at once, for a week at most
    "launcher/submitit_local": {"timeout_min": 10080, "cpus_per_task": "${threads}", "stderr_to_stdout": True},
    # an array; a job that is preempted or out of time saves its state and is put back into the queue
    "launcher/submitit_slurm": {
        "timeout_min": 240,
        "cpus_per_task": "${threads}",
        "mem_gb": 4,
        "stderr_to_stdout": True,
        "signal_delay_s": 120,
        "max_num_timeout": 100,
    },
    # this machine, or the cluster at hydra.launcher.ray.init.address
    "launcher/ray": {"ray": {"init": {"include_dashboard": False}, "remote": {"num_cpus": "${threads}"}}},
    # the objective is a return; a failed job is one that says nothing, and the search goes on
    "sweeper/optuna": {"direction": "maximize", "study_name": "rql", "max_failure_rate": 1.0},
    # started again, a search finds what it did
    **{f"sweeper/sampler/{name}": {"seed": 0} for name in ("tpe", "random", "cmaes", "nsgaii", "motpe")},
}
"""What is put over the plugins' own values, by group and choice below `hydra/`."""
SIDE_BY_SIDE = ("hydra_plugins.hydra_joblib_launcher.", "hydra_plugins.hydra_ray_launcher.")
"""Launchers whose jobs would print into each other's lines; submitit gives each a log of its own."""
EXTRAS = {
    "joblib": "joblib",
    "submitit_local": "submitit",
    "submitit_slurm": "submitit",
    "ray": "ray",
    "optuna": "optuna",
}
"""The extra of this package that brings a choice of `hydra/launcher` or `hydra/sweeper`."""


def register_launchers() -> None:
    """Put the tuned values over the plugins' own."""
    Plugins.instance()  # finds the plugins, which make themselves known to the store
    store = ConfigStore.instance()
    for name, values in TUNED.items():
        try:
            node = store.load(f"hydra/{name}.yaml").node
        except ConfigLoadError:
            continue
        with open_dict(node):
            group, _, choice = f"hydra/{name}".rpartition("/")
            store.store(group=group, name=choice, node=OmegaConf.merge(node, values), provider="rql")


def missing_plugin(text: str) -> str:
    """What to install where an error says that a launcher or a sweeper was not found; otherwise nothing."""
    for name, extra in EXTRAS.items():
        if f"hydra/launcher/{name}'" in text or f"hydra/sweeper/{name}'" in text:
            return f"; {remedy(extra)} brings it"
    return ""
