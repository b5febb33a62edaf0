"""Journals of episodes, the data sets made of them, and `rql data`."""

from pathlib import Path
from typing import Any

import gymnasium
import minari
import numpy as np
import pytest
from conftest import Collect
from full_disk import small_files
from gymnasium import spaces
from made_data import some_episodes
from minari.data_collector.episode_buffer import EpisodeBuffer

from rql.commands.data import main as data_command
from rql.data.journal import Journal, read_episodes, read_header
from rql.data.writing import begin_set, describe_set, finish_set, write_set
from rql.utils.errors import DataError, RQLError


def single_step() -> EpisodeBuffer:
    """An episode of CartPole that ends at once."""
    return EpisodeBuffer(
        observations=np.zeros((2, 4), np.float32), actions=np.array([0]), rewards=[1.0], terminations=[True],
        truncations=[False],
    )  # fmt: skip


def same(one: EpisodeBuffer, other: EpisodeBuffer) -> bool:
    return (
        one.seed == other.seed
        and np.array_equal(one.observations["a"], other.observations["a"])
        and all(np.array_equal(x, y) for x, y in zip(one.observations["b"], other.observations["b"], strict=True))
        and all(
            np.array_equal(getattr(one, key), getattr(other, key)) for key in ("actions", "rewards", "terminations")
        )
    )


def test_a_journal_gives_back_what_was_put_in_and_leaves_out_what_was_half_written(tmp_path: Path) -> None:
    path, episodes = tmp_path / "journal", some_episodes(3)
    journal = Journal(path, {"id": "x"})
    for episode in episodes:
        journal.append(episode)
    journal.close()
    assert sorted(file.name for file in path.iterdir()) == ["000000.npz", "000001.npz", "000002.npz", "header.json"]
    assert all(same(a, b) for a, b in zip(episodes, read_episodes(path), strict=True))
    half = path / ".000002.npz.4711"
    (path / "000002.npz").rename(half)
    again = Journal(path, {"id": "x"})
    assert (again.episodes, again.steps, again.seeds) == (2, 6, {0, 1}) and not half.exists()
    again.append(episodes[2])
    again.close()
    assert all(same(a, b) for a, b in zip(episodes, read_episodes(path), strict=True))


def test_a_journal_survives_what_a_crash_may_leave(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, episodes = tmp_path / "journal", some_episodes(3)
    path.mkdir()  # killed before the header was written
    journal = Journal(path, {"id": "x"})
    for episode in episodes:
        journal.append(episode)
    journal.close()
    damaged = bytearray((path / "000001.npz").read_bytes())
    damaged[200:240] = bytes(40)
    (path / "000001.npz").write_bytes(bytes(damaged))
    (path / "000002.npz").write_bytes(b"")  # as after a power failure
    journal = Journal(path, {"id": "x"})
    assert journal.episodes == 1 and "000001.npz is damaged" in caplog.text
    journal.append(episodes[1])
    journal.close()
    assert all(same(a, b) for a, b in zip(episodes[:2], read_episodes(path), strict=True))
    journal = Journal(path, {"id": "x"})
    journal.cut(1)
    assert journal.episodes == 1
    with pytest.raises(RQLError, match="has lost episodes: it holds 1 and not 2"):
        journal.cut(2)
    journal.close()
    (path / "header.json").write_bytes(b"no journal")
    with pytest.raises(RQLError, match="no journal"):
        read_header(path)


def test_a_journal_is_one_collections_and_one_process_s(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(path, {"id": "x"})
    journal.append(some_episodes(1)[0])
    with pytest.raises(RQLError, match="another process"):
        Journal(path, {"id": "x"})
    journal.close()
    with pytest.raises(RQLError, match=r"another collection \(it differs in id\).*recover x`.*discard x`"):
        Journal(path, {"id": "y"})
    Journal(tmp_path / "empty", {}).close()
    assert not (tmp_path / "empty").exists()


def test_episodes_of_dictionaries_and_tuples_become_a_data_set(root: Path) -> None:
    class Nested(gymnasium.Env[Any, Any]):
        observation_space = spaces.Dict(
            {"a": spaces.Box(-9, 9, (2,)), "b": spaces.Tuple([spaces.Box(-9, 9, (1,)), spaces.Discrete(4)])}
        )
        action_space = spaces.Box(-9, 9, (1,))

    journal = begin_set(describe_set("test/nested-v0", Nested(), {}))
    for episode in some_episodes(2):
        journal.append(episode)
    finish_set(journal)
    read = minari.load_dataset("test/nested-v0")[1]
    assert np.array_equal(read.observations["b"][0], some_episodes(2)[1].observations["b"][0])


def test_the_data_command(root: Path, collect: Collect, capsys: pytest.CaptureFixture[str]) -> None:
    collect("env=hopper", "id=test/hopper/random-v0", "episodes=30")
    journal = begin_set(describe_set("test/cut-v0", gymnasium.make("Pendulum-v1"), {}))
    journal.append(some_episodes(1)[0])
    journal.close()
    assert data_command(["info", "test/hopper/random-v0"]) == 0
    said = capsys.readouterr().out
    for part in ("Hopper-v5", "30 terminated", "normalised score", "coverage", "episodes by return", "problems"):
        assert part in said
    assert data_command(["list"]) == 0
    said = capsys.readouterr().out
    assert said.count("test/hopper/random-v0") >= 2 and "test/cut-v0" in said
    assert data_command(["clear"]) == 0 and "deleting" in capsys.readouterr().out
    assert not list((root.parent / "cache/rql").glob("*/"))
    assert data_command(["verify", "test/hopper/random-v0"]) == 0
    (root / "test/.broken-v0.episodes").mkdir()
    assert data_command(["list"]) == 0 and "nothing in it" in capsys.readouterr().out


def test_verify_counts_every_bad_episode(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from made_data import EPISODES, flat, write_npz

    arrays = flat(EPISODES)
    arrays["rewards"][[0, 12]] = np.nan
    path = write_npz(tmp_path / "bad.npz", arrays)
    for command in ("verify", "info"):
        assert data_command([command, str(path), "--env", "Pendulum-v1"]) == 1
        said = capsys.readouterr().out.replace("\n", "")
        assert "rewards of episode 0" in said and "rewards of episode 3" in said and "problems: 2" in said
    with pytest.raises(SystemExit) as stop:
        data_command(["info", str(tmp_path / "none.npz")])
    assert stop.value.code == 2 and "none.npz cannot be read: No such file" in capsys.readouterr().err
    good = write_npz(tmp_path / "good.npz", flat(EPISODES))
    assert data_command(["info", str(good)]) == 0 and "--env ID" in capsys.readouterr().out
    assert data_command(["clear", str(good)]) == 0 and "deleting" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        data_command(["clear", str(good)])
    arrays = flat(EPISODES, timeouts=None, next_observations=None)
    cut = write_npz(tmp_path / "cut.npz", arrays)
    assert data_command(["info", str(cut)]) == 1 and data_command(["info", str(cut), "--unfinished", "drop"]) == 0


def test_an_unfinished_collection_can_be_made_a_data_set(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    env = gymnasium.make("CartPole-v1")
    journal = begin_set(describe_set("test/cut-v0", env, {"seed": 1}))
    episode = EpisodeBuffer(
        observations=np.zeros((3, 4), np.float32), actions=np.array([0, 1]), rewards=[1.0, 1.0],
        terminations=[False, True], truncations=[False, False],
    )  # fmt: skip
    journal.append(episode)
    journal.close()
    with pytest.raises(SystemExit):
        data_command(["info", "test/cut-v0"])
    assert "unfinished collection" in capsys.readouterr().err
    assert data_command(["recover", "test/cut-v0"]) == 0
    assert minari.load_dataset("test/cut-v0").total_steps == 2
    journal = begin_set(describe_set("test/more-v0", env, {}))
    journal.append(episode)
    journal.close()
    assert data_command(["discard", "test/more-v0"]) == 0 and not journal.path.exists()
    with pytest.raises(SystemExit):
        data_command(["recover", "test/cut-v0"])
    assert "no unfinished collection" in capsys.readouterr().err


def test_a_full_disk_loses_no_finished_episode_and_leaves_no_half_set(root: Path) -> None:
    env = gymnasium.make("Hopper-v5")
    rng = np.random.default_rng(0)

    def episode(steps: int) -> EpisodeBuffer:
        flags = [False] * (steps - 1)
        return EpisodeBuffer(
            observations=rng.normal(size=(steps + 1, 11)), actions=rng.uniform(-1, 1, (steps, 3)),
            rewards=rng.normal(size=steps), terminations=[*flags, True], truncations=[*flags, False],
        )  # fmt: skip

    journal = begin_set(describe_set("test/full-v0", env, {}))
    for _ in range(40):
        journal.append(episode(20))
    full = small_files(journal.path.stat().st_size + 1000)
    with full, pytest.raises(RQLError, match=r"an episode cannot be kept in .*full-v0.episodes"):
        journal.append(episode(200))
    kept = journal.episodes
    with small_files(20_000), pytest.raises(RQLError, match=r"test/full-v0 cannot be written to .*dataset\.root"):
        finish_set(journal)
    journal.close()
    assert [path.name for path in (root / "test").iterdir() if not path.name.endswith(".lock")] == [journal.path.name]
    assert data_command(["recover", "test/full-v0"]) == 0
    assert minari.load_dataset("test/full-v0").total_episodes == kept == 40


def test_a_collection_that_was_made_a_set_and_then_killed_is_cleared_up(root: Path) -> None:
    with gymnasium.make("CartPole-v1") as env:
        description = describe_set("test/killed-v0", env, {})
    journal = begin_set(description)
    journal.append(single_step())
    write_set(root / "test/killed-v0", description, read_episodes(journal.path), 1000)
    journal.close()
    assert data_command(["recover", "test/killed-v0"]) == 0
    assert [path.name for path in (root / "test").iterdir()] == ["killed-v0"]


def test_a_set_that_came_up_in_the_meantime_stays_and_the_episodes_too(root: Path) -> None:
    with gymnasium.make("CartPole-v1") as env:
        description = describe_set("test/two-v0", env, {})
    journal = begin_set(description)
    journal.append(single_step())
    write_set(root / "test/two-v0", description, [], 1000)
    with pytest.raises(DataError, match="already"):
        finish_set(journal)
    journal.close()
    assert minari.load_dataset("test/two-v0").total_episodes == 0 and len(list(read_episodes(journal.path))) == 1
