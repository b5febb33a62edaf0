"""Carries conf/, with sweeps/ in it, in the wheel as rql/conf. All else is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithConfiguration(build_py):
    """Copies the configuration into the package that is built; an editable install reads it where it lies."""

    def run(self) -> None:
        """Build."""
        super().run()
        if not self.editable_mode:
            built = Path(self.build_lib) / "rql" / "conf"
            shutil.rmtree(built, ignore_errors=True)  # what an earlier build left may be gone from conf/
            shutil.copytree("conf", built)


setup(cmdclass={"build_py": BuildWithConfiguration})
