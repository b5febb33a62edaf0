"""The cache of converted data sets: one conversion, whatever happens, and never half of one."""

import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, box_spaces, small_files
from test_sources import flat, write_npz

from rql.config.choices import Unfinished
from rql.data import cache
from rql.data.cache import entries, open_cached, read_entry, remove, remove_leftovers
from rql.data.episodes import Packer
from rql.data.rows import RowLayout
from rql.data.sources.d4rl import FlatSource
from rql.data.transitions import Transitions
from rql.envs.spaces import ContinuousSpec, Spaces
from rql.utils.errors import RQLError

TEST_SPACES = box_spaces(3, ContinuousSpec(np.array([-2.0]), np.array([2.0]), (1,)))


def open_file(path: Path, folder: Path, spaces: Spaces = TEST_SPACES) -> Transitions:
    return open_cached(FlatSource(path), spaces, Unfinished.refuse, folder)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_npz(tmp_path / "set.npz", flat([(50, False), (40, True)] * 50))


def test_a_second_opening_reads_what_the_first_one_wrote(file: Path, tmp_path: Path, monkeypatch: Any) -> None:
    first = open_file(file, tmp_path / "cache")
    monkeypatch.setattr(Packer, "pack", None)
    again = open_file(file, tmp_path / "cache")
    for name in ("rows", "truncated", "starts"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
    assert isinstance(again.rows.base, np.memmap) and again.name == "set"


def test_what_a_run_does_to_the_arrays_stays_its_own(file: Path, tmp_path: Path) -> None:
    data = open_file(file, tmp_path / "cache")
    before = data.rows.copy()
    data.rows[:] = 7.0
    assert np.array_equal(open_file(file, tmp_path / "cache").rows, before)


def test_another_content_or_another_view_is_converted_anew(file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    old = open_file(file, folder)
    write_npz(file, flat([(30, False)]))
    assert len(open_file(file, folder)) == 30 and len(old) == 4500
    wider = box_spaces(3, ContinuousSpec(np.array([-4.0]), np.array([4.0]), (1,)))
    assert np.allclose(open_file(file, folder, wider).action * 2, open_file(file, folder).action)
    assert len(list(entries(folder))) == 3


def test_rows_of_another_order_are_not_taken_for_these(file: Path, tmp_path: Path, monkeypatch: Any) -> None:
    folder = tmp_path / "cache"
    open_file(file, folder)
    pack = RowLayout.pack
    monkeypatch.setattr(RowLayout, "pack", lambda *parts: pack(*parts)[:, ::-1])
    open_file(file, folder)
    assert len(list(entries(folder))) == 2


@pytest.mark.parametrize("name", ["rows.f32", "starts.i64", "meta.json"])
def test_a_damaged_entry_is_converted_anew(name: str, file: Path, tmp_path: Path) -> None:
    whole = open_file(file, tmp_path / "cache").rows.copy()
    (entry,) = entries(tmp_path / "cache")
    with (entry.path / name).open("r+b") as damaged:
        damaged.truncate(10)
    assert read_entry(entry.path) is None
    assert np.array_equal(open_file(file, tmp_path / "cache").rows, whole)


def _open_and_count(arguments: tuple[Path, Path]) -> tuple[int, float]:
    """How often this process converted, and what it read."""
    conversions: list[Path] = []
    convert = cache._convert

    def counted(source: Any, packer: Any, path: Path) -> None:
        conversions.append(path)
        convert(source, packer, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "_convert", counted)
        total = float(open_file(*arguments).rows.sum(dtype=np.float64))
    return len(conversions), total


def test_twenty_processes_at_once_convert_once(file: Path, tmp_path: Path) -> None:
    with ProcessPoolExecutor(20) as pool:
        results = list(pool.map(_open_and_count, [(file, tmp_path / "cache")] * 20))
    assert sum(conversions for conversions, _ in results) == 1
    assert len({total for _, total in results}) == 1


SLOW = """
import sys, time
from pathlib import Path
sys.path.insert(0, "tests")
import test_cache
from rql.data.episodes import Packer
pack = Packer.pack
def slow(*args):
    print("packing", flush=True)
    time.sleep(60)
    return pack(*args)
Packer.pack = slow
test_cache.open_file(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_a_conversion_that_is_killed_leaves_nothing_that_counts(file: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", SLOW, str(file), str(tmp_path / "cache")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "packing\n"
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
    (folder / "damaged-0123/rows.f32").unlink()
    assert [one.path for one in entries(folder)] == [entry.path]
    remove_leftovers(folder)
    assert list(folder.glob("*/")) == [entry.path]
    remove(entry)
    assert not list(folder.glob("*/"))


def test_a_full_disk_is_an_error_that_names_the_file_and_leaves_nothing(file: Path, tmp_path: Path) -> None:
    with small_files(100_000), pytest.raises(RQLError, match=r"cache of .*set\.npz.*too large.*dataset\.cache"):
        open_file(file, tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"]
    assert len(open_file(file, tmp_path / "cache")) == 4500


def test_a_cache_that_cannot_be_written_is_an_error_that_names_it(file: Path, tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("")
    with pytest.raises(RQLError, match=r"blocked/.*dataset\.cache"):
        open_file(file, tmp_path / "blocked/cache")
