"""The cache of converted data sets: one conversion, whatever happens, and never half of one."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT, box_spaces
from full_disk import small_files
from made_data import flat, write_npz

from rql.config.choices import Unfinished
from rql.data import cache
from rql.data.batch import MC_RETURN, Draw
from rql.data.cache import entries, open_cached, read_entry, remove, remove_leftovers
from rql.data.convert import Converter, Reading
from rql.data.dataset import Dataset
from rql.data.episodes import Episode, Source
from rql.data.replay import EnvStep, ReplayBuffer
from rql.data.replay_log import ReplayLog
from rql.data.sampling import Mixture
from rql.data.sources.d4rl import FlatSource
from rql.data.transitions import Transitions
from rql.envs.spaces import ContinuousSpec, Spaces
from rql.utils.errors import DataError, RQLError
from rql.utils.tree import from_storable, to_storable

CPU = torch.device("cpu")
TEST_SPACES = box_spaces(3, ContinuousSpec(np.array([-2.0]), np.array([2.0]), (1,)))


def open_file(path: Path, folder: Path, spaces: Spaces = TEST_SPACES) -> Transitions:
    return open_cached(FlatSource(path), Reading(spaces), folder)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_npz(tmp_path / "set.npz", flat([(50, False), (40, True)] * 50))


def test_a_second_opening_reads_what_the_first_one_wrote(file: Path, tmp_path: Path, monkeypatch: Any) -> None:
    first = open_file(file, tmp_path / "cache")
    monkeypatch.setattr(Converter, "convert", None)
    again = open_file(file, tmp_path / "cache")
    assert again.columns.keys() == first.columns.keys() and np.array_equal(again.lengths, first.lengths)
    assert all(np.array_equal(first.columns[name], again.columns[name]) for name in first.columns)
    assert isinstance(again.columns["obs"].base, np.memmap) and again.name == "set"


def test_what_a_run_does_to_the_arrays_stays_its_own(file: Path, tmp_path: Path) -> None:
    data = open_file(file, tmp_path / "cache")
    before = data.columns["obs"].copy()
    data.columns["obs"][:] = 7.0
    assert np.array_equal(open_file(file, tmp_path / "cache").columns["obs"], before)


def test_another_content_or_another_view_is_converted_anew(file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    old = open_file(file, folder)
    write_npz(file, flat([(30, False)]))
    assert len(open_file(file, folder)) == 30 and len(old) == 4500
    wider = box_spaces(3, ContinuousSpec(np.array([-4.0]), np.array([4.0]), (1,)))
    assert np.allclose(open_file(file, folder, wider).action * 2, open_file(file, folder).action)
    assert len(list(entries(folder))) == 3


def test_an_entry_of_another_format_is_converted_anew(file: Path, tmp_path: Path) -> None:
    open_file(file, tmp_path / "cache")
    (entry,) = entries(tmp_path / "cache")
    (entry.path / "meta.json").write_text(json.dumps(entry.meta | {"format": 1}))
    assert read_entry(entry.path) is None
    assert len(open_file(file, tmp_path / "cache")) == 4500 and read_entry(entry.path) is not None


class Recorded(Source):
    """Two episodes with observations, rewards and a further column in dtypes of their own."""

    name, label, flags = "recorded", "recorded", ("terminals", "timeouts")

    def __init__(self, path: Path, jump: float = 0.0) -> None:
        path.write_text("")
        self.files, self._jump = [path], jump

    def episodes(self) -> Iterator[Episode]:
        for steps in (3, 2):
            obs, end = np.arange(3.0 * steps + 3).reshape(-1, 3), np.arange(steps) == steps - 1
            extra = {"base_action": np.arange(steps, dtype=np.int16)}
            rewards = np.full(steps, 0.1)
            yield Episode(obs[:-1], np.zeros((steps, 1)), rewards, obs[1:] + self._jump, end, ~end & False, extra)


def open_recorded(folder: Path, jump: float = 0.0, unfinished: Unfinished = Unfinished.refuse) -> Transitions:
    reading = Reading(TEST_SPACES, unfinished)
    return open_cached(Recorded(folder / "source", jump), reading, folder / f"cache{jump}")


def test_columns_keep_their_dtype_and_nothing_is_stored_twice(tmp_path: Path) -> None:
    data = open_recorded(tmp_path)
    dtypes = {name: field.dtype.name for name, field in data.fields.items()}
    assert dtypes == {
        "obs": "float64", "action": "float32", "reward": "float64", "terminated": "bool", "truncated": "bool",
        "base_action": "int16",
    }  # fmt: skip
    assert len(data) == 5 and all(len(column) == 5 + 2 for column in data.columns.values())
    assert np.array_equal(data.next_obs - data.obs, np.full((5, 3), 3.0))


def test_next_observations_that_were_rounded_otherwise_are_a_column_of_their_own(tmp_path: Path) -> None:
    data = open_recorded(tmp_path, jump=1e-5)
    assert "next_obs" in data.fields and np.allclose(data.next_obs - data.obs, np.full((5, 3), 3.00001), atol=1e-6)
    batch = Dataset(data, CPU).sample(50, torch.Generator().manual_seed(0), Draw(n_step=2))
    assert torch.allclose(batch.next_obs[:, 0] - batch.obs[:, 0], 3.0 * batch.steps + 1e-5, atol=2e-6)


def test_an_episode_ends_where_another_observation_followed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"episode 0 has no end flag at its step 0.*is not the one that followed"):
        open_recorded(tmp_path, jump=0.5)
    data = open_recorded(tmp_path, jump=0.5, unfinished=Unfinished.truncate)
    assert data.lengths.tolist() == [1] * 5 and data.truncated.tolist() == [True, True, False, True, False]
    batch = Dataset(data, CPU).sample(50, torch.Generator().manual_seed(0), Draw(3, 1.0, needs=frozenset({MC_RETURN})))
    assert batch.steps.eq(1).all() and torch.equal(batch.extra[MC_RETURN], batch.reward)
    assert torch.allclose(batch.next_obs - batch.obs, torch.full((50, 3), 3.5))


def test_a_further_column_is_drawn_from_the_data_set_the_replay_buffer_and_after_a_checkpoint(tmp_path: Path) -> None:
    """It is named in one place, where the source yields it."""
    data = open_recorded(tmp_path)
    fields = {name: field for name, field in data.fields.items() if name != "truncated"}
    replay, restored = (ReplayBuffer(fields, 10, 1, 1, CPU) for _ in range(2))
    for row, end in zip(data.rows, data.terminated, strict=True):
        columns = {name: data.columns[name][row + (name == "terminated")][None] for name in fields}
        replay.append(EnvStep(columns, {"obs": data.columns["obs"][row + 1][None]}, np.array([end])))
    log = ReplayLog(tmp_path / "log")
    log.append(replay.since(0), replay.appended)
    saved = from_storable(to_storable({"files": log.described(), "state": replay.saved_state()}))
    restored.restore(ReplayLog(tmp_path / "log").read(saved["files"], 5), saved["state"])
    draw = Draw(needs=frozenset({"base_action"}))
    for sampler in (Dataset(data, CPU), replay, restored, Mixture(Dataset(data, CPU), restored, 0.5)):
        batch = sampler.sample(64, torch.Generator().manual_seed(0), draw)
        assert torch.equal(batch.extra["base_action"], (batch.obs[:, 0] / 3).to(torch.int16))
        assert set(batch.extra["base_action"].tolist()) == {0, 1, 2}


@pytest.mark.parametrize("name", ["obs.column", "lengths.i64", "meta.json"])
def test_a_damaged_entry_is_converted_anew(name: str, file: Path, tmp_path: Path) -> None:
    whole = open_file(file, tmp_path / "cache").columns["obs"].copy()
    (entry,) = entries(tmp_path / "cache")
    with (entry.path / name).open("r+b") as damaged:
        damaged.truncate(10)
    assert read_entry(entry.path) is None
    assert np.array_equal(open_file(file, tmp_path / "cache").columns["obs"], whole)


def _open_and_count(arguments: tuple[Path, Path]) -> tuple[int, float]:
    """How often this process converted, and what it read."""
    conversions: list[Path] = []
    convert = cache._convert

    def counted(source: Any, converter: Any, path: Path) -> None:
        conversions.append(path)
        convert(source, converter, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "_convert", counted)
        total = float(open_file(*arguments).columns["obs"].sum(dtype=np.float64))
    return len(conversions), total


def test_twenty_processes_at_once_convert_once(file: Path, tmp_path: Path) -> None:
    with ProcessPoolExecutor(20) as pool:
        results = list(pool.map(_open_and_count, [(file, tmp_path / "cache")] * 20))
    assert sum(conversions for conversions, _ in results) == 1
    assert len({total for _, total in results}) == 1


SLOW = """
import sys, time
from pathlib import Path
sys.path[:0] = ["tests", "tests/data"]
import test_cache
from rql.data.convert import Converter
convert = Converter.convert
def slow(*args):
    print("converting", flush=True)
    time.sleep(60)
    return convert(*args)
Converter.convert = slow
test_cache.open_file(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_a_conversion_that_is_killed_leaves_nothing_that_counts(file: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", SLOW, str(file), str(tmp_path / "cache")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "converting\n"
        process.send_signal(signal.SIGKILL)
    assert not list(entries(tmp_path / "cache")) and list((tmp_path / "cache").glob(".*.part"))
    started = time.monotonic()
    assert len(open_file(file, tmp_path / "cache")) == 4500
    assert time.monotonic() - started < 30 and not list((tmp_path / "cache").glob(".*.part"))


def test_leftovers_are_no_entries_and_can_be_swept(file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    open_file(file, folder)
    (entry,) = entries(folder)
    shutil.copytree(entry.path, folder / f".{entry.path.name}.part")
    shutil.copytree(entry.path, folder / "damaged-0123")
    (folder / "damaged-0123/obs.column").unlink()
    assert [one.path for one in entries(folder)] == [entry.path]
    remove_leftovers(folder)
    assert list(folder.glob("*/")) == [entry.path]
    remove(entry)
    assert not list(folder.glob("*/"))


def test_a_full_disk_is_an_error_that_names_the_file_and_leaves_nothing(file: Path, tmp_path: Path) -> None:
    with small_files(30_000), pytest.raises(RQLError, match=r"cache of .*set\.npz.*too large.*dataset\.cache"):
        open_file(file, tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"]
    assert len(open_file(file, tmp_path / "cache")) == 4500


def test_a_cache_that_cannot_be_written_is_an_error_that_names_it(file: Path, tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("")
    with pytest.raises(RQLError, match=r"blocked/.*dataset\.cache"):
        open_file(file, tmp_path / "blocked/cache")


def test_a_long_name_is_cut_and_stays_its_own(tmp_path: Path) -> None:
    episodes = flat([(50, False), (40, True)] * 50)
    files = [write_npz(tmp_path / f"{'β' * 116}{end}.npz", episodes) for end in "ab"]  # 237 bytes
    for file in files:
        open_file(file, tmp_path / "cache")
    assert len(list(entries(tmp_path / "cache"))) == 2
