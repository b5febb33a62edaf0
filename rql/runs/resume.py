"""`resume=FOLDER`: the run of a folder, with what the command line changes of it."""

from pathlib import Path

from hydra import compose
from omegaconf import OmegaConf

from rql.config.compose import choices_of, from_plain, load, register_schemas, to_plain
from rql.config.imports import import_known, searched_folders
from rql.config.roles import with_schemas
from rql.config.schema import Config
from rql.runs.folder import Command, difference, read_command, read_config, refuse_fixed
from rql.utils.errors import ConfigError


def resumed(directory: Path, command: Command) -> tuple[Config, Path, Command]:
    """The configuration of the run in a folder with the overrides of a command, the folder, and both commands in one.

    The overrides count as they would have in the first command; what has changed in `conf/` since does not.

    Raises:
        RQLError: if the folder holds no run, or an override changes what cannot change in the middle of one.
    """
    if not directory.is_dir():
        raise ConfigError("resume", str(directory), "auto, never, or the folder of a run")
    stored, began = read_config(directory), read_command(directory)
    if command.config_name not in ("config", began.config_name):
        allowed = f"{began.config_name}, with which the run in {directory} began; it goes on with its own configuration"
        raise ConfigError("--config-name", command.config_name, allowed)
    import_known(stored.get("imports") or [])
    register_schemas(searched_folders())  # with the choices that these modules have added
    together = Command(began.config_name, [*began.overrides, *command.overrides], began.choices, began.swept)
    if command.overrides:
        then = to_plain(load(compose(began.config_name, overrides=began.overrides)))
        now = load(compose(began.config_name, overrides=together.overrides))
        chosen = choices_of(now)
        changes = difference(then, to_plain(now), chosen) | difference(with_schemas(began.choices), chosen, chosen)
        refuse_fixed(directory, changes, chosen)
        changed = OmegaConf.create(stored)
        for key, (_, value) in changes.items():
            OmegaConf.update(changed, key, value, force_add=True)
        plain = OmegaConf.to_container(changed)
        assert isinstance(plain, dict)
        stored = {str(key): value for key, value in plain.items()}
    return from_plain(stored | {"resume": "auto"}, began.choices), directory, together
