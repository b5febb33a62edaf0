"""The optional dependencies of the package, which `pip install 'rql[NAME]'` brings."""


def remedy(extra: str) -> str:
    """The command that installs an extra, for an installed package and, in its folder, for a checkout."""
    return f"pip install 'rql[{extra}]'"
