"""`rql track sync`, and the sweep files of W&B."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import wandb
import yaml
from conftest import ROOT, compose_config
from filelock import FileLock
from made_runs import write_run
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

from rql.commands.track import main, runs_of
from rql.sweep.jobs import Job, write
from rql.tracking import sync
from rql.tracking.workspace import workspace_of
from rql.utils.errors import RQLError

SERVER = "http://localhost:1"
NAMES = ("a/wandb/offline-run-20260101_100000-aaaa", "a/wandb/offline-run-20260101_120000-aaaa")
OTHER = "b/wandb/offline-run-20260101_110000-bbbb"


@pytest.fixture
def offline(tmp_path: Path) -> Path:
    """Two segments of one run and, between them in time, another run; an online run beside them."""
    for name in (*NAMES, OTHER, "b/wandb/run-20260101_110000-cccc"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / f"run-{name[-4:]}.wandb").touch()
    (tmp_path / "a/wandb/latest-run").symlink_to(tmp_path / NAMES[-1])
    return tmp_path


class Uploader:
    """In the place of `wandb sync`."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.seen: list[str] = []
        self.refused: set[str] = set()
        self.reachable = True
        patch.setattr(sync, "check_login", lambda: SERVER)
        patch.setattr(sync, "check_reachable", self.check)
        patch.setattr(sync, "upload", self.upload)

    def check(self, server: str) -> None:
        assert server == SERVER
        if not self.reachable:
            raise RQLError("W&B cannot be reached")

    def upload(self, log: Path, server: str) -> str:
        self.seen.append(log.parent.name)
        if log.parent.name in self.refused:
            return "Failed to sync"
        log.with_suffix(".wandb.synced").touch()
        return "Finished syncing"


@pytest.fixture
def uploader(monkeypatch: pytest.MonkeyPatch) -> Uploader:
    return Uploader(monkeypatch)


def last(name: str) -> str:
    return Path(name).name


def test_offline_runs_are_uploaded_in_the_order_of_their_creation_and_once(
    offline: Path, uploader: Uploader, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sync", str(offline / "a"), str(offline)]) == 0
    assert uploader.seen == [last(NAMES[0]), last(OTHER), last(NAMES[1])]
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said[:3]] == ["aaaa", "bbbb", "aaaa"]
    assert all(line.endswith("uploaded") for line in said[:3]) and said[3] == "3 uploaded now, 0 before, 0 not"
    uploader.reachable = False  # and nobody asks
    assert main(["sync", str(offline)]) == 0 and len(uploader.seen) == 3
    assert capsys.readouterr().out == "nothing to upload: 3 of 3 offline logs are uploaded already\n"


def test_what_cannot_be_uploaded_holds_up_only_the_later_segments_of_its_run(
    offline: Path, uploader: Uploader, capsys: pytest.CaptureFixture[str]
) -> None:
    uploader.refused = {last(NAMES[0])}
    with pytest.raises(SystemExit) as exit:
        main(["sync", str(offline)])
    assert exit.value.code == 2 and uploader.seen == [last(NAMES[0]), last(OTHER)]
    printed = capsys.readouterr()
    assert "not uploaded: Failed to sync" in printed.out and "waits for the one before" in printed.out
    assert "1 uploaded now, 0 before, 2 not" in printed.out and "2 of 3 offline logs could not" in printed.err
    uploader.refused = set()
    assert main(["sync", str(offline)]) == 0
    assert uploader.seen[2:] == [last(NAMES[0]), last(NAMES[1])]
    assert "2 uploaded now, 1 before, 0 not" in capsys.readouterr().out


def test_a_network_that_goes_away_half_way_ends_it(
    offline: Path, uploader: Uploader, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lost(log: Path, server: str) -> str:
        uploader.reachable = False
        return "Connection lost"

    monkeypatch.setattr(sync, "upload", lost)
    with pytest.raises(SystemExit):
        main(["sync", str(offline)])
    assert capsys.readouterr().err == "error: W&B cannot be reached\n"
    assert not list(offline.rglob("*.synced"))


def test_a_run_that_is_going_on_is_left_for_later(
    offline: Path, uploader: Uploader, capsys: pytest.CaptureFixture[str]
) -> None:
    with FileLock(offline / "a" / ".lock"), pytest.raises(SystemExit):
        main(["sync", str(offline)])
    assert uploader.seen == [last(OTHER)]
    assert "is still being written" in capsys.readouterr().out
    assert main(["sync", str(offline)]) == 0 and len(uploader.seen) == 3


@pytest.mark.parametrize(
    ("key", "said"),
    [("", "there is no W&B login"), ("short", "login cannot be used"), ("a" * 40, f"cannot be reached at {SERVER}")],
    ids=["no login", "no key", "no network"],
)
def test_no_login_and_no_network_are_one_sentence_at_once(
    key: str, said: str, offline: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", SERVER)
    monkeypatch.setenv("NETRC", str(offline / "netrc"))
    if key:
        monkeypatch.setenv("WANDB_API_KEY", key)
    wandb.teardown()  # it has read the environment already where other tests ran before
    began = time.monotonic()
    with pytest.raises(SystemExit) as exit:
        main(["sync", str(offline)])
    assert exit.value.code == 2 and time.monotonic() - began < 5.0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("wandb: ")]
    assert line.startswith("error: ") and said in line
    assert not list(offline.rglob("*.sync*"))


def test_a_log_that_wandb_refuses_is_not_uploaded(offline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETRC", str(offline / "netrc"))
    (log,) = (offline / OTHER).glob("*.wandb")
    assert "wandb login" in sync.upload(log, SERVER)
    assert not log.with_suffix(".wandb.synced").exists()


def test_a_server_that_is_lost_during_an_upload_ends_it(offline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(_: str) -> None:
        raise RQLError("gone")

    monkeypatch.setattr(sync, "check_reachable", lost)
    monkeypatch.setattr(sync, "PATIENCE_SECONDS", 0.01)
    (log,) = (offline / OTHER).glob("*.wandb")
    with pytest.raises(RQLError, match="gone"):
        sync.upload(log, SERVER)


def test_help_needs_no_torch_and_a_folder_must_be_there(capsys: pytest.CaptureFixture[str]) -> None:
    code = (
        "import sys, rql.commands.track as c\ntry: c.main(['sync', '-h'])\nfinally: assert 'torch' not in sys.modules"
    )
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "DIR" in answer.stdout
    with pytest.raises(SystemExit):
        main(["sync", "/no/such/folder"])
    assert capsys.readouterr().err == "error: there is no folder /no/such/folder\n"


def expanded(parameters: dict[str, dict[str, Any]]) -> list[list[str]]:
    """The arguments that an agent would pass: every parameter at each of its values, or at both ends of its range."""
    choices = {key: given.get("values") or [given["min"], given["max"]] for key, given in parameters.items()}
    most = max(map(len, choices.values()))
    jobs = [{key: {"value": values[index % len(values)]} for key, values in choices.items()} for index in range(most)]
    return [create_sweep_command_args({"args": job})["args_no_hyphens"] for job in jobs]


@pytest.mark.parametrize("path", sorted((ROOT / "sweeps" / "wandb").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_job_of_a_wandb_sweep_composes(path: Path) -> None:
    text = path.read_text()
    sweep = yaml.safe_load(text)
    assert sweep["method"] == path.stem and sweep["metric"] == {"name": "online/return", "goal": "maximize"}
    assert f"wandb sweep sweeps/wandb/{path.name}" in text and (ROOT / sweep["program"]).exists()
    assert sweep["command"][:4] == ["${env}", "python", "${program}", "${args_no_hyphens}"]
    jobs = expanded(sweep["parameters"])
    assert len(jobs) >= 2
    for job in jobs:
        compose_config(*job)


def test_a_workspace_compares_the_runs_of_a_sweep(tmp_path: Path, monkeypatch: Any) -> None:
    """As W&B would store it; nothing is sent."""
    swept = ["beta", "cql.alpha", "seed"]
    sweep = {"base": {}, "choices": {}, "swept": swept, "jobs": ["a"], "launches": []}
    write_run(tmp_path / "sweep" / "a", 0, points=[("bc", 1, 1.5), ("online", 1, 3.5)])
    (tmp_path / "sweep" / "sweep.json").write_text(json.dumps(sweep))
    config = {"tracking": {"project": "mine", "entity": "team", "group": None}}
    write(tmp_path / "sweep", Job("a", "a", config=config))
    runs = runs_of(tmp_path / "sweep", None)
    spec = json.loads(workspace_of(runs)._to_model().model_dump_json(by_alias=True))["spec"]["section"]
    returns, what_matters, training = spec["panelBankConfig"]["sections"][:3]
    online = returns["panels"][0]["config"]
    assert online["xAxis"] == "online/env_step" and online["metrics"] == ["online/return", "online/baseline_return"]
    coordinates, importance = (panel["config"] for panel in what_matters["panels"])
    columns = [column["accessor"] for column in coordinates["columns"]]
    keys = ["config:beta.value", "config:cql.value.alpha", "config:seed.value"]
    assert columns == [*keys, "summary:online/gain", "summary:online/return"]
    assert importance["targetKey"] == "online/return"
    assert {"online/beta", "online/kl"} <= {panel["config"]["metrics"][0] for panel in training["panels"]}
    (runset,) = spec["runSets"]
    assert [group["name"] for group in runset["grouping"]] == ["beta.value", "cql.value.alpha"]
    pinned = runset["runFeed"]["columnPinned"]
    assert {*keys, "summary:online/gain", "summary:state"} <= pinned.keys()
    assert "sweep" in json.dumps(runset["filters"])


def test_a_workspace_of_runs_whose_headline_is_success_compares_them_by_it(tmp_path: Path) -> None:
    write_run(tmp_path / "sweep" / "a", 0, points=[("bc", 1, 1.5), ("online", 1, 3.5)], successes=[4, 18])
    sweep = {"base": {}, "choices": {}, "swept": ["seed"], "jobs": ["a"], "launches": []}
    (tmp_path / "sweep" / "sweep.json").write_text(json.dumps(sweep))
    write(tmp_path / "sweep", Job("a", "a", config={"tracking": {}}))
    runs = runs_of(tmp_path / "sweep", None)
    spec = json.loads(workspace_of(runs)._to_model().model_dump_json(by_alias=True))["spec"]["section"]
    curves, what_matters = spec["panelBankConfig"]["sections"][:2]
    online = curves["panels"][0]["config"]
    assert curves["name"] == "Success rates" and online["chartTitle"] == "success rate, finetuned"
    assert online["metrics"] == ["online/success_rate", "online/baseline_success_rate"]
    assert what_matters["panels"][1]["config"]["targetKey"] == "online/success_rate"
    (runset,) = spec["runSets"]
    shown = [f"summary:online/{name}" for name in ("success_rate", "success_rate_low", "success_rate_high", "return")]
    assert {*shown, "summary:best/success_rate"} <= runset["runFeed"]["columnPinned"].keys()


def test_a_workspace_without_a_login_says_what_is_missing(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(SystemExit) as stop:
        main(["workspace", str(tmp_path)])
    assert stop.value.code == 2 and "no W&B login (`wandb login` makes one)" in capsys.readouterr().err
