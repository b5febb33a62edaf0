"""What is installed: the wheel, its command line, and the package as Python sees it."""

import configparser
import shutil
import subprocess
import sys
import zipfile

import pytest
from conftest import ROOT
from install import copy_sources


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Built from a copy of the sources, by way of the source distribution, as an index would have it."""
    folder = copy_sources(tmp_path_factory.mktemp("wheel") / "sources")
    build = "from setuptools import build_meta; print(build_meta.build_sdist('built'))"
    subprocess.run([sys.executable, "-c", build], cwd=folder, check=True, capture_output=True)
    (archive,) = (folder / "built").glob("rql-*.tar.gz")
    shutil.unpack_archive(archive, folder / "unpacked")
    (sources,) = (folder / "unpacked").iterdir()
    command = [sys.executable, "-c", build.replace("sdist", "wheel")]
    subprocess.run(command, cwd=sources, check=True, capture_output=True)
    (path,) = (sources / "built").glob("rql-*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_carries_every_module_and_the_whole_configuration(wheel: zipfile.ZipFile) -> None:
    modules = {f"rql/{path.relative_to(ROOT / 'rql')}" for path in (ROOT / "rql").rglob("*.py")}
    configuration = {f"rql/conf/{path.relative_to(ROOT / 'conf')}" for path in (ROOT / "conf").rglob("*.yaml")}
    sweeps = {f"rql/conf/sweep/{path.relative_to(ROOT / 'sweeps')}" for path in (ROOT / "sweeps").rglob("*.yaml")}
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert held == modules | configuration | sweeps | {"rql/py.typed"}


def test_the_wheel_brings_the_command(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    points = configparser.ConfigParser()
    points.read_string(wheel.read(name).decode())
    assert dict(points["console_scripts"]) == {"rql": "rql.__main__:main"}
