"""The README and the docs: what they point at exists, their commands compose, their examples run."""

import csv
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from conftest import ROOT, TINY, ended, in_another_process
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from rql.__main__ import COMMANDS

PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
EXAMPLES = ROOT / "examples" / "extending"
OWN = [path.stem for path in EXAMPLES.glob("*.py")]
TRAIN = ("rql train ", "python run.py ")
NOT_COMPOSED = re.compile(r"^(-m|sweep=.*|hydra[./].*|resume=.*)$")
"""Arguments for Hydra itself, and those that need a run that is there."""


def commands(page: Path) -> Iterator[str]:
    """The lines of the indented blocks of a page, without comments, a continued one as one."""
    for line in page.read_text(encoding="utf-8").replace("\\\n", "").splitlines():
        if line.startswith("    "):
            yield re.sub(r"\s+#.*", "", line).removeprefix("    ").removeprefix("$ ").strip()


def training_commands() -> list[str]:
    """Those that need no module and no folder, and are no example of a typo."""
    lines = {line for page in PAGES for line in commands(page) if line.startswith(TRAIN)}
    return sorted(line for line in lines if not any(text in line for text in ("imports=", "--", "strat=")))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_page_of_the_docs_that_code_or_configuration_mentions_is_there() -> None:
    files = [
        *PAGES,
        *(path for top in ("rql", "conf", "sweeps", "benchmarks", "tests") for path in (ROOT / top).rglob("*.*")),
    ]
    for file in files:
        if file.suffix in (".py", ".yaml", ".md"):
            for page in re.findall(r"\bdocs/[\w/-]+\.(?:md|png)", file.read_text(encoding="utf-8")):
                assert (ROOT / page).exists(), f"{file.relative_to(ROOT)} mentions {page}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_modules_and_folders_that_a_page_mentions_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for path in re.findall(r"`((?:rql|conf|tests|benchmarks|examples|sweeps)/[\w/.]+)`", text):
        assert "NAME" in path or (ROOT / path).exists(), f"{page.name} mentions {path}"


@pytest.mark.parametrize("command", training_commands())
def test_commands_of_the_docs_compose(command: str) -> None:
    words = [word for word in shlex.split(command)[2:] if not NOT_COMPOSED.match(word)]
    first = [re.sub(r"^([^=]+=[^\[{,]+),.*", r"\1", word) for word in words]  # of the values of a sweep
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        assert OmegaConf.to_container(compose("config", overrides=first))


def test_the_other_commands_of_the_docs_are_commands() -> None:
    for page in PAGES:
        for line in commands(page):
            if line.startswith("rql "):
                assert line.split()[1] in {*COMMANDS, "--help"}, f"{page.name}: {line}"


def write_log(path: Path) -> None:
    """Two episodes of a pendulum in the form that `csv_source` reads."""
    env = gymnasium.make("Pendulum-v1", max_episode_steps=20)
    head = ["episode", *(f"obs_{i}" for i in range(3)), "action_0", "reward", *(f"next_obs_{i}" for i in range(3))]
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow([*head, "terminated", "truncated"])
        for episode in range(2):
            obs, truncated = env.reset(seed=episode)[0], False
            while not truncated:
                action = np.array([np.sin(episode + obs[2])], np.float32)
                following, reward, terminated, truncated, _ = env.step(action)
                rows.writerow([episode, *obs, *action, reward, *following, int(terminated), int(truncated)])
                obs = following


EXTENDING = [
    line for line in commands(ROOT / "docs/how-to/extending.md") if line.startswith("rql train") and "my_" not in line
]


def test_every_example_has_a_command_in_the_docs() -> None:
    text = " ".join([*EXTENDING, (EXAMPLES / "conf/experiment/corridor.yaml").read_text(encoding="utf-8")])
    assert OWN and all(name in text for name in OWN)


@pytest.mark.parametrize("command", EXTENDING)
def test_examples_of_own_code_run(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_log(tmp_path / "log.csv")
    words = [word.replace("examples", str(ROOT / "examples")) for word in shlex.split(command)[1:]]
    left_out: tuple[str, ...] = ()
    if "dataset=" in command:
        left_out = ("dataset.",)
    elif "experiment=" in command:  # without data
        left_out = ("dataset.", "bc.updates", "offline.updates")
    short = [word for word in TINY if not word.startswith(left_out)]
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    assert ended(in_another_process(*words[1:], *short, f"hydra.run.dir={tmp_path / 'run'}"), 60) == 0
    assert (tmp_path / "run" / "summary.json").exists()
