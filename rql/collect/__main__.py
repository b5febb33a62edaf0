"""`python -m rql.collect`: roll out a policy and keep its episodes as a Minari data set; `--help` says how."""

from pathlib import Path

import hydra
from omegaconf import DictConfig

from rql.config.collect import load_collect, register_collect
from rql.config.explain import composition_errors_in_one_sentence, fail
from rql.errors import RQLError

CONFIGURATION = Path(__file__).resolve().parents[2] / "conf"

register_collect()


@hydra.main(version_base="1.3", config_path=str(CONFIGURATION), config_name="collect")
def main(composed: DictConfig) -> None:
    """One collection."""
    try:
        config = load_collect(composed)
        # --help and a misspelt key need not wait for torch
        from rql.collect.session import run

        run(config)
    except RQLError as error:
        fail(str(error))


if __name__ == "__main__":
    with composition_errors_in_one_sentence():
        main()
