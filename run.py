"""The entry point of a checkout, which does what `rql train` does. `python run.py --help` says how to use it."""

import sys

from rql.commands.train import main

if __name__ == "__main__":
    sys.exit(main())
