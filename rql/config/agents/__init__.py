"""The configurations of the agents, without torch: every module in this folder is a choice of `agent`."""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
