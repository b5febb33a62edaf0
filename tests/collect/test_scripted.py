"""Demonstrations of the experts that come with environments."""

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import minari
import numpy as np
import pytest
from conftest import Cli, Collect, summary_of
from minari.data_collector.episode_buffer import EpisodeBuffer

from rql.collect.scripted import Kept, open_scripted
from rql.config.choices import Failures, Reward
from rql.config.data import EnvConfig, ScriptedDatasetConfig
from rql.data.episodes import Episode
from rql.data.load import minari_root
from rql.utils.errors import ConfigError, DataError

REACH = EnvConfig(id="rql/MetaWorld-v3", kwargs={"env_name": "reach-v3", "max_episode_steps": 80})


def made(root: Path, env: EnvConfig = REACH, **settings: Any) -> list[Episode]:
    with minari_root(str(root)):
        return list(open_scripted(ScriptedDatasetConfig(**settings), env).episodes())


def same(one: list[Episode], other: list[Episode]) -> bool:
    columns = [[episode.observations, episode.actions, episode.rewards, episode.success] for episode in (*one, *other)]
    half = len(one)
    pairs = zip(columns[:half], columns[half:], strict=True)
    return all(np.array_equal(a, b) for first, second in pairs for a, b in zip(first, second, strict=True))


def test_they_are_successes_made_once_whatever_the_run_pays_for(tmp_path: Path) -> None:
    demonstrations = made(tmp_path, episodes=3)
    assert len(demonstrations) == 3 and all(episode.success.any() for episode in demonstrations)  # type: ignore[union-attr]
    (file,) = tmp_path.rglob("main_data.hdf5")
    before = file.stat().st_mtime_ns
    paid = EnvConfig(id=REACH.id, kwargs=REACH.kwargs, reward=Reward.success)
    assert same(made(tmp_path, paid, episodes=3), demonstrations) and file.stat().st_mtime_ns == before
    assert not same(made(tmp_path, episodes=3, seed=1), demonstrations)


def test_two_processes_make_one_set_between_them(tmp_path: Path) -> None:
    with ProcessPoolExecutor(2) as pool:
        first, second = (pool.submit(made, tmp_path, REACH, episodes=2) for _ in range(2))
        assert same(first.result(), second.result())
    assert len(list(tmp_path.rglob("main_data.hdf5"))) == 1


def test_a_set_that_was_cut_off_is_gone_on_with_and_is_the_same(tmp_path: Path, monkeypatch: Any) -> None:
    whole, keep, calls = made(tmp_path / "whole", episodes=3, noise=1.0), Kept.__call__, [0]

    def cut_off(self: Kept, episode: EpisodeBuffer) -> bool:
        calls[0] += 1
        if calls[0] == 3:
            raise KeyboardInterrupt
        return keep(self, episode)

    with monkeypatch.context() as patch:
        patch.setattr(Kept, "__call__", cut_off)
        with pytest.raises(KeyboardInterrupt):
            made(tmp_path / "cut", episodes=3, noise=1.0)
    assert same(made(tmp_path / "cut", episodes=3, noise=1.0), whole)


def test_failures_are_left_out_or_kept(tmp_path: Path) -> None:
    short = EnvConfig(id=REACH.id, kwargs=REACH.kwargs | {"max_episode_steps": 44})
    kept = made(tmp_path, short, episodes=6, failures=Failures.keep)
    successes = [bool(episode.success.any()) for episode in kept]  # type: ignore[union-attr]
    assert len(kept) == 6 and 0 < sum(successes) < 6
    chosen = made(tmp_path, short, episodes=sum(successes))
    assert same(chosen, [episode for episode, success in zip(kept, successes, strict=True) if success])


def test_an_expert_that_never_succeeds_and_an_environment_without_one_are_said(tmp_path: Path) -> None:
    hopeless = EnvConfig(id=REACH.id, kwargs=REACH.kwargs | {"max_episode_steps": 3})
    said = r"the expert of reach-v3 succeeded in 0 of 20 episodes \(dataset\.noise=0 .*dataset\.failures=keep"
    with pytest.raises(DataError, match=said):
        made(tmp_path, hopeless, episodes=2)
    assert not list(tmp_path.rglob("*.hdf5"))
    with pytest.raises(ConfigError, match=r"dataset=scripted is not possible: Pendulum-v1 brings no expert"):
        made(tmp_path, EnvConfig(id="Pendulum-v1"))


def test_a_collection_of_the_expert_has_the_episodes_of_its_demonstrations(collect: Collect, data_root: Path) -> None:
    wanted = made(data_root, episodes=4, failures=Failures.keep, noise=0.2)
    reach = ["env=metaworld_reach", "++env.kwargs.max_episode_steps=80", "behaviour=expert", "behaviour.noise=0.2"]
    reach += ["reward=raw"]
    collect(*reach, "id=reach/expert-v0", "episodes=4", "env.num_envs=3")
    data = minari.load_dataset("reach/expert-v0")
    seeds = [int(metadata["seed"]) for metadata in data.storage.get_episode_metadata(range(4))]
    for seed, episode in zip(seeds, data.iterate_episodes(), strict=True):
        assert np.array_equal(episode.actions, wanted[seed].actions)
        assert episode.infos["success"][1:].tolist() == np.asarray(wanted[seed].success).tolist()


def test_a_run_clones_them_and_goes_by_success(cli: Cli, data_root: Path) -> None:
    task = ["env=metaworld_reach", "++env.kwargs.max_episode_steps=60", "dataset.episodes=3", "tracking=disabled"]
    tiny = ["batch_size=16", "bc.updates=20", "offline.updates=3", "evaluation.num_envs=2"]
    online = ["online.env_steps=24", "online.warmup_fraction=0.3", "evaluation.boundary_episodes=2"]
    summary = summary_of(cli(*task, *tiny, *online, name="reach"))
    assert summary["bc/success_rate"] == summary["bc/return"] and summary["bc/success_rate_high"] > 0.5
