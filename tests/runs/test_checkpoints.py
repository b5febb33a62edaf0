"""Files of checkpoints: whatever happens to them, what is loaded is what was saved."""

import io
import json
import logging
import os
import pickle
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from agent_states import started
from conftest import compose_config
from counter_env import TEST_SPACES
from cut_off_runs import seal_as_newer
from made_data import transitions

from rql.agents.build import build_agent
from rql.agents.saving import FORMAT, read_checkpoint
from rql.data.batch import RewardTransform
from rql.envs.training import TrainingEnvs
from rql.runs.checkpoints import Checkpoint, Checkpoints
from rql.training.online import OnlineTrainer
from rql.training.trainer import DatasetTrainer
from rql.utils.errors import RQLError
from rql.utils.files import seal, unseal
from rql.utils.tree import same

TINY_NETS = ["network.critic.hidden=[4]", "network.actor.hidden=[4]", "network.critic.ensemble_size=1"]


@pytest.fixture
def stage() -> Iterator[OnlineTrainer]:
    """An online stage on the environment of test_evaluation, some steps on its way."""
    config = compose_config(
        "batch_size=4", "cql=off", "online.env_steps=200", "online.warmup_fraction=0.05", *TINY_NETS
    )
    config.env.id = "RQLTestCounter-v0"
    agent = build_agent(config, TEST_SPACES, torch.device("cpu"))
    state = started(agent, TEST_SPACES, transitions(TEST_SPACES))
    with closing(TrainingEnvs(config.env, 0)) as envs:
        stage = OnlineTrainer(agent, agent.stages[-1], state, None, envs, TEST_SPACES, RewardTransform(), None, config)
        advance(stage, 20)
        yield stage


def advance(stage: OnlineTrainer, steps: int) -> None:
    for _ in range(steps):
        stage.advance()


def checkpoints(directory: Path, *overrides: str) -> Checkpoints:
    return Checkpoints(directory, compose_config(*TINY_NETS, *overrides))


def content(checkpoint: Checkpoint | None) -> tuple[int, list[list[float]], dict[str, list[float]]]:
    """What is compared of a checkpoint."""
    assert checkpoint is not None and checkpoint.replay is not None
    tensors = {name: value.flatten().tolist() for name, value in checkpoint.tensors.items()}
    return checkpoint.progress["stage_state"]["step"], checkpoint.replay["obs"].tolist(), tensors


def replay_files(directory: Path) -> dict[str, int]:
    """When each file of the replay buffer was written."""
    return {path.name: path.stat().st_mtime_ns for path in (directory / "checkpoints" / "replay").iterdir()}


def test_only_new_steps_are_written(stage: OnlineTrainer, tmp_path: Path) -> None:
    store = checkpoints(tmp_path)
    store.save(stage, False, {})
    written = replay_files(tmp_path)
    advance(stage, 5)
    store.save(stage, False, {})
    now = replay_files(tmp_path)
    assert sorted(now) == ["000000.npz", "000001.npz"] and now["000000.npz"] == written["000000.npz"]
    found = checkpoints(tmp_path).newest()
    assert found and found.replay and same(found.replay, stage.replay.since(0))


@pytest.mark.parametrize("before", [True, False], ids=["from the offline end", "from the beginning"])
def test_rows_of_an_attempt_that_led_to_nothing_are_forgotten(
    before: bool, stage: OnlineTrainer, tmp_path: Path
) -> None:
    store = checkpoints(tmp_path)
    if before:
        config = compose_config("bc.updates=0", *TINY_NETS)
        ended = DatasetTrainer(stage.agent, stage.agent.stages[0], stage.state, None, RewardTransform(), config)
        store.save(ended, True, {})
    store.save(stage, False, {})
    newest = store.newest()
    assert newest is not None and newest.replay is not None
    store.drop(newest)
    earlier = store.newest()
    assert earlier is None or earlier.replay is None
    stage.replay.rows.columns["reward"][:] += 1.0  # another attempt has other transitions
    store.save(stage, False, {})
    found = checkpoints(tmp_path).newest()
    assert found and found.replay and same(found.replay, stage.replay.since(0))


class Faults:
    """Lets call number `fatal` of all writes, fsyncs, renames and the like fail; a write fails when it is half done."""

    def __init__(self, patch: pytest.MonkeyPatch, fatal: int) -> None:
        self.calls, self._fatal = 0, fatal
        for name in ("fsync", "replace", "rename", "truncate", "unlink", "mkdir"):
            patch.setattr(os, name, self._failing(getattr(os, name)))
        opened = Path.open
        patch.setattr(Path, "open", lambda path, *args, **kwargs: _File(self, opened(path, *args, **kwargs)))

    def count(self) -> bool:
        self.calls += 1
        return self.calls == self._fatal

    def _failing(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if self.count():
                raise OSError(28, "No space left on device")
            return function(*args, **kwargs)

        return call


class _File:
    def __init__(self, faults: Faults, file: Any) -> None:
        self._faults, self._file = faults, file

    def __enter__(self) -> "_File":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, data: bytes) -> int:
        if self._faults.count():
            self._file.write(data[: len(data) // 2])
            self._file.flush()
            raise OSError(28, "No space left on device")
        written: int = self._file.write(data)
        return written


def test_the_checkpoint_before_always_loads_whichever_write_fails(stage: OnlineTrainer, tmp_path: Path) -> None:
    start, state, replay_size = stage.replay.since(0), stage.replay.saved_state(), stage.replay.size
    fatal = failures = 0
    while True:
        fatal += 1
        directory, copy = tmp_path / str(fatal), tmp_path / f"copy {fatal}"
        store = checkpoints(directory)
        stage.replay.restore(start, state)
        store.save(stage, False, {})
        before = stage.step
        advance(stage, 3)
        with pytest.MonkeyPatch.context() as patch:
            faults = Faults(patch, fatal)
            try:
                store.save(stage, False, {})
            except OSError:
                failures += 1
        shutil.copytree(directory, copy)
        step, rows, _ = content(checkpoints(copy).newest())
        assert (step, len(rows)) in ((before, replay_size), (before + 3, replay_size + 3)), f"after call {fatal}"
        store.save(stage, False, {})
        step, rows, _ = content(checkpoints(directory).newest())
        assert (step, len(rows)) == (before + 3, replay_size + 3)
        if faults.calls < fatal:
            break
    assert failures >= 7


def test_a_flipped_byte_is_noticed_wherever_it_is(stage: OnlineTrainer, tmp_path: Path, caplog: Any) -> None:
    store = checkpoints(tmp_path)
    store.save(stage, False, {})
    before = content(checkpoints(tmp_path).newest())
    advance(stage, 5)
    store.save(stage, False, {})
    after = content(checkpoints(tmp_path).newest())
    older, newer = sorted((tmp_path / "checkpoints").glob("*.pt"))
    log, later = (tmp_path / "checkpoints" / "replay" / f"00000{number}.npz" for number in (0, 1))
    whole, rows, later_rows = newer.read_bytes(), log.read_bytes(), later.read_bytes()
    draws = random.Random(0)
    # in place 16 stands the version, of which another digit is a newer format
    places = [0, 1, 15, 17, 18, 40, 80, 82, len(whole) - 1, *draws.sample(range(17, len(whole)), 6)]
    for place in places:
        newer.write_bytes(_flipped(whole, place, draws))
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert content(checkpoints(tmp_path).newest()) == before, place
        assert newer.name in caplog.text and older.name in caplog.text
        newer.with_name(f"{newer.name}.damaged").unlink()
        assert not later.exists()
        later.write_bytes(later_rows)
    newer.write_bytes(whole)
    for place in draws.sample(range(len(rows)), 3):
        log.write_bytes(_flipped(rows, place, draws))
        with pytest.raises(RQLError, match=r"no checkpoint in .* can be used: .*000000\.npz is "):
            checkpoints(tmp_path).newest()
    log.write_bytes(rows)
    assert content(checkpoints(tmp_path).newest()) == after


def _flipped(data: bytes, place: int, draws: random.Random) -> bytes:
    return data[:place] + bytes([data[place] ^ (1 << draws.randrange(8))]) + data[place + 1 :]


class _Payload:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self._path,)


@pytest.mark.parametrize("sealed", [True, False])
def test_a_pickle_in_a_checkpoint_is_not_executed(sealed: bool, tmp_path: Path) -> None:
    path, trace = tmp_path / "evil.pt", tmp_path / "executed"
    content = io.BytesIO()
    torch.save({"description": "{}", "state": _Payload(trace)}, content)
    path.write_bytes(seal(content.getvalue()) if sealed else content.getvalue())
    with pytest.raises(RQLError, match="no agent can be read" if sealed else "is no file of RQL"):
        read_checkpoint(path)
    plain = tmp_path / "plain.pt"
    plain.write_bytes(pickle.dumps(_Payload(trace)))
    with pytest.raises(RQLError, match="is no file of RQL"):
        read_checkpoint(plain)
    assert not trace.exists()


def test_a_file_of_another_format_is_refused_with_what_to_do(stage: OnlineTrainer, tmp_path: Path) -> None:
    checkpoints(tmp_path).save(stage, False, {})
    (path,) = (tmp_path / "checkpoints").glob("*.pt")
    assert read_checkpoint(path).stage == "online"
    whole = path.read_bytes()
    seal_as_newer(path)
    with pytest.raises(RQLError, match="has format 9; this version reads formats up to 1"):
        read_checkpoint(path)
    for version in (FORMAT - 1, FORMAT + 1):
        _rewritten(path, whole, {"format": version})
        with pytest.raises(RQLError, match=rf"has format {version}, written by version \S+; .*: run it again"):
            checkpoints(tmp_path).newest()
        assert path.exists()


def test_a_configuration_of_another_version_is_named_and_the_file_kept(stage: OnlineTrainer, tmp_path: Path) -> None:
    checkpoints(tmp_path).save(stage, False, {})
    (path,) = (tmp_path / "checkpoints").glob("*.pt")

    described = json.loads(torch.load(io.BytesIO(unseal(path)), weights_only=True)["description"])
    described["config"]["q"] |= {"unknown": True}
    _rewritten(path, path.read_bytes(), described)
    with pytest.raises(RQLError, match=r"version \S+ wrote it, .* Key 'unknown' not in 'QConfig'"):
        checkpoints(tmp_path).newest()
    assert path.exists()


def _rewritten(path: Path, whole: bytes, changes: dict[str, Any]) -> None:
    """Seal a saved agent again, with changes of its description."""
    parts = torch.load(io.BytesIO(whole.split(b"\n", 2)[2]), weights_only=True)
    content = io.BytesIO()
    torch.save(parts | {"description": json.dumps(json.loads(parts["description"]) | changes)}, content)
    path.write_bytes(seal(content.getvalue()))


def test_the_newest_ones_and_those_of_the_boundaries_are_kept(stage: OnlineTrainer, tmp_path: Path) -> None:
    store = checkpoints(tmp_path, "checkpoint.keep=2")
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / "0-bc-0000000010-end.pt").write_bytes(b"")
    for _ in range(4):
        store.save(stage, False, {})
        advance(stage, 2)
    kept = sorted(path.name for path in folder.glob("*.pt"))
    assert kept == ["0-bc-0000000010-end.pt", "2-online-0000000024.pt", "2-online-0000000026.pt"]
