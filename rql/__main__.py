"""`rql COMMAND …`: train, evaluate, export, report, collect, data, sweep, track; `rql COMMAND --help` says how."""

import importlib
import os
import sys
from collections.abc import Sequence

from rql import __version__
from rql.config.explain import fail

COMMANDS = {
    "train": "clone, learn offline and finetune: one run, or a sweep with -m",
    "evaluate": "play whole episodes with the policies of a run",
    "export": "write a policy as TorchScript, ONNX or torch.export",
    "report": "compare runs as an HTML page with tables and figures",
    "collect": "roll out a policy and keep its episodes as a Minari data set",
    "data": "list, inspect and verify data sets",
    "sweep": "see what a sweep will do and what became of its jobs, and run the failed ones again",
    "track": "upload runs that were logged to W&B offline, and make a workspace that compares them",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    name, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("-h", "--help"):
        listed = "\n".join(f"  {command:<10}{what}" for command, what in COMMANDS.items())
        print(f"usage: rql COMMAND …\n\n{listed}\n\nrql COMMAND --help says more.")
        return 0
    if name == "--version":
        print(__version__)
        return 0
    if name in ("-sc", "--shell-completion"):  # a shell asks what `rql train …` can go on with
        os.environ["COMP_LINE"] = os.environ.get("COMP_LINE", "").replace(" train ", " ", 1)
        name, rest = "train", [name, *rest]
    if name not in COMMANDS:
        fail(f"{name} is no command; there are {', '.join(COMMANDS)}")
    command = importlib.import_module(f"rql.commands.{name}")
    return int(command.main(rest))


if __name__ == "__main__":
    sys.exit(main())
