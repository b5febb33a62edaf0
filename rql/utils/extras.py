"""Optional dependencies of the package."""


def remedy(extra: str) -> str:
    """The command that installs an extra; pip leaves the rql that is there, a wheel or a checkout, as it is."""
    return f"pip install 'rql[{extra}]'"
