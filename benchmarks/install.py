"""Whether a wheel works in a fresh virtual environment and an empty directory: builds it, installs it, runs commands.

python benchmarks/install.py          # downloads all dependencies into the new environment
python benchmarks/install.py --lend   # lends it those of this environment, without what is installed editable
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ["conf", "sweeps", "rql", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"]
"""What a build needs."""
TINY = [
    *("tracking=disabled", "dataset.episodes=4", "batch_size=16", "bc.updates=6", "offline.updates=6"),
    *("online.env_steps=24", "online.warmup_fraction=0.3", "online.eval_every=12", "tracking.log_every=3"),
    *("evaluation.episodes=2", "evaluation.boundary_episodes=2", "evaluation.num_envs=2"),
]
PYTHON = "import rql; print(rql.train({tiny}, 'from_python').summary['online/return'], rql.__file__)"
FAIL = """
import json, pathlib
path = next(pathlib.Path("sweep").glob("*/job.json"))
path.write_text(json.dumps(json.loads(path.read_text()) | {"status": "failed"}))
"""
COMMANDS: list[list[str]] = [
    ["rql", "--version"],
    ["rql", "train", *TINY, "hydra.run.dir=run"],
    ["rql", "train", "-m", "seed=0,1", *TINY, "hydra.sweep.dir=sweep"],
    ["rql", "train", "sweep=seeds", "seed=0,1", *TINY, "hydra.sweep.dir=of_a_file", "jobs.report=false"],
    ["rql", "sweep", "status", "sweep"],
    ["python", "-c", FAIL],
    ["rql", "sweep", "retry", "sweep"],
    ["rql", "report", "run", "sweep", "--out", "report"],
    ["rql", "evaluate", "run", "--episodes", "2"],
    ["rql", "export", "run", "--to", "torchscript", "--out", "policy.pt"],
    ["rql", "collect", "id=mine/random-v0", "env=pendulum", "episodes=2", "behaviour=run", "behaviour.run=run"],
    ["rql", "data", "info", "mine/random-v0"],
    ["python", "-c", PYTHON.format(tiny=TINY)],
]
FILES = ["run/agent.pt", "run/curve.png", "sweep/report/index.html", "report/index.html", "policy.pt"]


def main() -> int:
    """Print what each command said at its end; 1 if one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lend", action="store_true", help="take the dependencies of this environment")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        os.environ.pop("PYTHONPATH", None)  # a checkout there would count as installed
        binaries = _installed(place, options.lend)
        empty = place / "empty"
        empty.mkdir()
        os.environ |= {"MINARI_DATASETS_PATH": f"{place}/minari", "XDG_CACHE_HOME": f"{place}/cache"}
        failed = [command for command in COMMANDS if not _runs(command, binaries, empty)]
        missing = [name for name in FILES if not (empty / name).exists()]
    print(
        f"{len(COMMANDS) - len(failed)} of {len(COMMANDS)} commands work; files that are missing: {missing or 'none'}"
    )
    return 1 if failed or missing else 0


def copy_sources(folder: Path) -> Path:
    """Copy what a build needs into a new folder, so that the build leaves nothing in the checkout."""
    folder.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


def _installed(place: Path, lend: bool) -> Path:
    """Where the programs of a new environment with the wheel lie."""
    sources = copy_sources(place / "sources")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(place), str(sources)]
    subprocess.run([*build, *(["--no-build-isolation"] if lend else [])], check=True)
    (wheel,) = place.glob("rql-*.whl")
    print(f"built {wheel.name}, {wheel.stat().st_size:,} bytes", flush=True)
    venv.create(place / "venv", with_pip=True)
    binaries = place / "venv" / "bin"
    install = [str(binaries / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if not lend:
        subprocess.run([*install, "-c", str(ROOT / "constraints.txt"), str(wheel)], check=True)
        return binaries
    subprocess.run([*install, "--no-deps", str(wheel)], check=True)
    (own,) = (place / "venv" / "lib").glob("python*/site-packages")
    lent = [path for path in sys.path if path.endswith("site-packages")]
    (own / "lent.pth").write_text("".join(f"{path}\n" for path in lent))  # their own .pth files are not read
    return binaries


def _runs(command: list[str], binaries: Path, empty: Path) -> bool:
    """Whether a command ends well; prints it, and the last line that it printed."""
    name, *arguments = command
    call = [str(binaries / name), *arguments]
    answer = subprocess.run(call, cwd=empty, capture_output=True, text=True, check=False)
    said = (answer.stdout if answer.returncode == 0 else answer.stdout + answer.stderr).strip().splitlines()
    shown = " ".join(part for part in command if part not in TINY)
    print(
        f"$ {shown if name == 'rql' else 'python -c …'}\n  exit code {answer.returncode}: {said[-1] if said else ''}",
        flush=True,
    )
    return answer.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
