"""Making data sets: what is collected is what the environment did, and nothing finished is lost."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import minari
import numpy as np
import pytest
import stable_baselines3
from conftest import ROOT, TINY, Cli, metrics_of, small_files
from gymnasium import spaces
from minari.data_collector.episode_buffer import EpisodeBuffer

from rql.collect import __main__ as program
from rql.config.data_schema import EnvConfig, MinariDatasetConfig
from rql.config.explain import composition_errors_in_one_sentence
from rql.data.__main__ import main as data_command
from rql.data.journal import LENGTH, Journal, read_episodes, read_header
from rql.data.minari import journal_path
from rql.data.sources import load_datasets
from rql.data.writing import begin_set, describe_set, finish_set, write_set
from rql.envs.make import inspect_env
from rql.errors import DataError, RQLError
from rql.evaluation.evaluator import Evaluator

Collect = Callable[..., None]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "minari"


@pytest.fixture
def collect(root: Path, monkeypatch: pytest.MonkeyPatch) -> Collect:
    """`python -m rql.collect …` in this process."""

    def call(*overrides: str) -> None:
        monkeypatch.setattr(sys, "argv", ["rql.collect", f"hydra.run.dir={root.parent}", *overrides])
        with composition_errors_in_one_sentence():
            program.main()

    return call


def replay(id: str) -> None:
    """Play the actions of a data set again from the recorded seeds, and compare bit by bit."""
    data = minari.load_dataset(id)
    env = data.recover_environment()
    seeds = [metadata["seed"] for metadata in data.storage.get_episode_metadata(range(data.total_episodes))]
    for seed, episode in zip(seeds, data.iterate_episodes(), strict=True):
        obs, _ = env.reset(seed=int(seed))
        for t, action in enumerate(episode.actions):
            assert np.array_equal(obs, episode.observations[t])
            obs, reward, terminated, truncated, _ = env.step(action)
            assert (reward, terminated, truncated) == (
                episode.rewards[t], episode.terminations[t], episode.truncations[t],
            )  # fmt: skip
        assert np.array_equal(obs, episode.observations[-1]) and (terminated or truncated)


@pytest.mark.parametrize("env", ["hopper", "cartpole", "pendulum"])
def test_what_is_collected_is_what_happened(env: str, collect: Collect) -> None:
    collect(f"env={env}", "id=test/random-v0", "episodes=7", "env.num_envs=3")
    data = minari.load_dataset("test/random-v0")
    assert data.total_episodes == 7
    replay("test/random-v0")


def test_no_more_episodes_are_begun_than_the_steps_take(collect: Collect) -> None:
    collect("env=pendulum", "id=test/few-v0", "steps=400", "env.num_envs=8")
    assert minari.load_dataset("test/few-v0").total_steps == 400


def test_loading_gives_the_collected_transitions_bit_by_bit(collect: Collect) -> None:
    collect("env=hopper", "id=test/random-v0", "episodes=5")
    env_config = EnvConfig(id="Hopper-v5")
    view, env = inspect_env(env_config)
    datasets = load_datasets(MinariDatasetConfig(id="test/random-v0"), env_config, view, env)
    assert datasets is not None
    data, episodes = datasets[0], list(minari.load_dataset("test/random-v0").iterate_episodes())
    for ours, theirs in (
        (data.obs, [e.observations[:-1] for e in episodes]),
        (data.next_obs, [e.observations[1:] for e in episodes]),
        (data.action, [e.actions for e in episodes]),
        (data.reward, [e.rewards for e in episodes]),
        (data.terminated, [e.terminations for e in episodes]),
        (data.truncated, [e.truncations for e in episodes]),
    ):
        assert np.array_equal(ours, np.concatenate(theirs).astype(ours.dtype))


def test_the_set_says_where_it_comes_from(collect: Collect) -> None:
    collect(
        "env=hopper", "+env.kwargs.max_episode_steps=50", "id=test/hopper/random-v0", "steps=100", "seed=7",
        "author=Ada", "description=a test",
    )  # fmt: skip
    data = minari.load_dataset("test/hopper/random-v0")
    metadata = data.storage.metadata
    assert data.env_spec.id == "Hopper-v5" and data.env_spec.max_episode_steps == 50
    assert metadata["ref_max_score"] == 3234.3 and metadata["rql_version"] and metadata["seed"] == 7
    assert metadata["algorithm_name"] == "uniformly random actions" and metadata["author"] == {"Ada"}
    assert data.total_steps >= 100
    seeds = {m["seed"] for m in data.storage.get_episode_metadata(range(data.total_episodes))}
    assert seeds == set(range(7, 7 + data.total_episodes))


def test_the_policies_of_a_run_collect_in_its_environment(collect: Collect, cli: Cli) -> None:
    directory = cli(*TINY, "+env.kwargs.max_episode_steps=20", "seed=4")
    for policy, mode in (("bc", "mode"), ("final", "sample")):
        chosen = [f"behaviour.run={directory}", f"behaviour.policy={policy}", f"behaviour.mode={mode}"]
        collect("behaviour=run", *chosen, f"id=test/{policy}-v0", "episodes=3")
        replay(f"test/{policy}-v0")
    data = minari.load_dataset("test/final-v0")
    assert data.total_steps == 60 and data.env_spec.max_episode_steps == 20
    assert "π_final after" in data.storage.metadata["algorithm_name"]


def test_the_saved_policy_is_the_one_that_was_evaluated(collect: Collect, cli: Cli) -> None:
    """In CartPole a policy's mode is deterministic: from the same start it has the same return."""
    from rql.training.random import stream_seed

    directory = cli(*TINY, "env=cartpole", "seed=2")
    last = metrics_of(directory)[-1]
    first = stream_seed(2, "evaluation envs")
    collect("behaviour=run", f"behaviour.run={directory}", "behaviour.mode=mode", "id=test/cart-v0", "episodes=2",
            f"seed={first}")  # fmt: skip
    returns = [episode.rewards.sum() for episode in minari.load_dataset("test/cart-v0").iterate_episodes()]
    assert last["return"] == np.mean(returns) and last["return_max"] == max(returns)


def test_a_policy_of_stable_baselines3_collects_once_it_is_trusted(collect: Collect, tmp_path: Path) -> None:
    stable_baselines3.SAC("MlpPolicy", "Pendulum-v1", learning_starts=10, seed=0).learn(30).save(tmp_path / "sac.zip")
    chosen = ["behaviour=sb3", f"behaviour.path={tmp_path / 'sac.zip'}", "env=pendulum", "episodes=2"]
    collect(*chosen, "behaviour.trusted=true", "id=test/sac-v0")
    replay("test/sac-v0")
    with pytest.raises(SystemExit):
        collect(*chosen[:2], "env=cartpole", "episodes=2", "behaviour.trusted=true", "id=test/cart-v0")
    algorithm = minari.load_dataset("test/sac-v0").storage.metadata["algorithm_name"]
    assert algorithm == "stable-baselines3 SAC after 30 steps, sample"


def test_a_scripted_policy_collects(collect: Collect) -> None:
    collect("env=cartpole", "behaviour=scripted", "behaviour.random_chance=0.3", "id=test/cart-v0", "episodes=3")
    replay("test/cart-v0")


def test_the_episodes_of_the_online_stage_are_kept(root: Path, cli: Cli, capsys: Any) -> None:
    short = ["online.env_steps=45", "+env.kwargs.max_episode_steps=10", "env.num_envs=2"]
    directory = cli(*TINY, *short, "online.save_replay=test/replay-v0", "reward.shift=-3", "q.n_step=3")
    data = minari.load_dataset("test/replay-v0")
    assert data.total_episodes == 4 and data.total_steps == 40
    rewards = np.concatenate([episode.rewards for episode in data.iterate_episodes()])
    assert rewards.max() <= 0 and rewards.min() > -17  # as the environment pays them
    assert data.storage.metadata["rql_config"]["reward"]["shift"] == -3.0
    assert "test/replay-v0" in capsys.readouterr().out.replace("\n", "") and (directory / "summary.json").exists()
    with pytest.raises(SystemExit):
        cli(*TINY, "online.save_replay=test/replay-v0", name="again")
    assert "already" in capsys.readouterr().err and not (root.parent / "again").exists()


SLOW_ENV = """
import sys, time
import gymnasium
from gymnasium.envs.classic_control import CartPoleEnv
class Slow(CartPoleEnv):
    def step(self, action):
        time.sleep(0.002)
        return super().step(action)
gymnasium.register("SlowCartPole-v1", entry_point=Slow, max_episode_steps=500)
from rql.collect import __main__ as program
from rql.config.explain import composition_errors_in_one_sentence
sys.argv = ["rql.collect", *sys.argv[1:]]
with composition_errors_in_one_sentence():
    program.main()
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_whatever_cuts_a_collection_off_its_finished_episodes_are_kept(how: int, root: Path) -> None:
    wanted = ["env.id=SlowCartPole-v1", "id=test/slow-v0", "env.num_envs=2", f"hydra.run.dir={root.parent}"]
    command = [sys.executable, "-c", SLOW_ENV, *wanted]
    path = journal_path("test/slow-v0")
    with subprocess.Popen([*command, "episodes=100000"], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        while not (path.exists() and path.stat().st_size > 50_000):
            assert process.poll() is None
        process.send_signal(how)
        said = process.communicate(timeout=30)[0]
    kept = len(list(read_episodes(path)))
    assert kept > 5 and not (root / "test/slow-v0").exists()
    if how == signal.SIGINT:
        assert process.returncode == 130 and f"{kept} finished episodes are kept" in said
    more = subprocess.run([*command, f"episodes={kept + 5}"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert more.returncode == 0 and f"going on after {kept} episodes" in more.stdout
    data = minari.load_dataset("test/slow-v0")
    assert data.total_episodes == kept + 5 and not path.exists()
    seeds = [m["seed"] for m in data.storage.get_episode_metadata(range(data.total_episodes))]
    assert sorted(seeds) == list(range(kept + 5))


def some_episodes(count: int) -> list[EpisodeBuffer]:
    rng = np.random.default_rng(0)
    return [
        EpisodeBuffer(
            seed=index,
            observations={"a": rng.normal(size=(4, 2)), "b": (rng.normal(size=(4, 1)), np.arange(4))},
            actions=rng.normal(size=(3, 1)),
            rewards=[0.1, 0.2, 0.3],
            terminations=[False, False, True],
            truncations=[False] * 3,
        )
        for index in range(count)
    ]


def same(one: EpisodeBuffer, other: EpisodeBuffer) -> bool:
    return (
        one.seed == other.seed
        and np.array_equal(one.observations["a"], other.observations["a"])
        and all(np.array_equal(x, y) for x, y in zip(one.observations["b"], other.observations["b"], strict=True))
        and all(
            np.array_equal(getattr(one, key), getattr(other, key)) for key in ("actions", "rewards", "terminations")
        )
    )


def test_a_journal_gives_back_what_was_put_in_and_drops_half_a_record(tmp_path: Path) -> None:
    path, episodes = tmp_path / "journal", some_episodes(3)
    journal = Journal(path, {"id": "x"})
    for episode in episodes:
        journal.append(episode)
    journal.close()
    assert all(same(a, b) for a, b in zip(episodes, read_episodes(path), strict=True))
    os.truncate(path, path.stat().st_size - 7)
    again = Journal(path, {"id": "x"})
    assert (again.episodes, again.steps) == (2, 6)
    again.append(episodes[2])
    again.close()
    assert all(same(a, b) for a, b in zip(episodes, read_episodes(path), strict=True))


def test_a_journal_survives_what_a_crash_may_leave(tmp_path: Path) -> None:
    path, episodes = tmp_path / "journal", some_episodes(3)
    for rest in (b"", b"\x05\x00", LENGTH.pack(100) + b"{"):
        path.write_bytes(rest)  # killed before the header was whole
        journal = Journal(path, {"id": "x"})
        journal.append(episodes[0])
        journal.close()
        assert len(list(read_episodes(path))) == 1
    damaged = bytearray(path.read_bytes())
    damaged[200:240] = bytes(40)
    path.write_bytes(bytes(damaged))
    journal = Journal(path, {"id": "x"})
    assert journal.episodes == 0
    journal.append(episodes[1])
    journal.close()
    with path.open("ab") as file:
        file.write(bytes(100))  # as after a power failure
    assert all(same(a, b) for a, b in zip(episodes[1:2], read_episodes(path), strict=True))
    path.write_bytes(b"no journal")
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
    (root / "test/.broken-v0.episodes").write_bytes(b"")
    assert data_command(["list"]) == 0 and "nothing in it" in capsys.readouterr().out


def test_verify_counts_every_bad_episode(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from test_sources import EPISODES, flat, write_npz

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


REFUSED: list[tuple[list[str], list[str]]] = [
    (["env=pendulum", "steps=10"], ["id=???"]),
    (["id=test/a-v0", "env=pendulum"], ["steps", "either"]),
    (["id=test/a-v0", "env=pendulum", "steps=5", "episodes=5"], ["steps", "either"]),
    (["id=test/a-v0", "env=pendulum", "steps=0"], ["steps=0", "at least 1"]),
    (["id=test/a-v0", "steps=5"], ["env.id=auto", "behaviour=run"]),
    (["id=nonsense", "env=pendulum", "steps=5"], ["nonsense is no Minari id"]),
    (["id=test/a-v0", "env=hopper", "steps=5", "behaviour=scripted"], ["Hopper-v5 has no scripted controller"]),
    (["id=test/a-v0", "steps=5", "behaviour=run", "behaviour.run=/no/where"], ["/no/where/agent.pt"]),
    (["id=test/a-v0", "steps=5", "env=pendulum", "behaviour=sb3", "behaviour.path=x.zip"], ["trusted", "x.zip"]),
    (["id=test/a-v0", "steps=5", "env=pendulum", "behavior=random"], ["behavior"]),
    (["id=test/a-v0", "steps=5", "env=pendulum", "dataset.root=/proc/no"], ["/proc/no"]),
]


@pytest.mark.parametrize(("overrides", "named"), REFUSED, ids=lambda value: " ".join(value))
def test_wrong_input_ends_in_one_sentence(
    overrides: list[str], named: list[str], collect: Collect, capsys: Any
) -> None:
    with pytest.raises(SystemExit) as stop:
        collect(*overrides)
    message = capsys.readouterr().err.strip()
    assert stop.value.code == 2 and message.startswith("error: ") and "\n" not in message
    for part in named:
        assert part in message


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"nonsense", lambda b: b[:200] + b[300:]])
def test_a_damaged_agent_is_refused(damage: Any, cli: Cli, collect: Collect, capsys: Any) -> None:
    path = cli(*TINY, "offline.updates=0", "online.env_steps=0") / "agent.pt"
    path.write_bytes(damage(path.read_bytes()))
    capsys.readouterr()
    with pytest.raises(SystemExit):
        collect("behaviour=run", f"behaviour.run={path.parent}", "id=test/a-v0", "steps=5")
    assert f"no agent can be read from {path}" in capsys.readouterr().err


def test_an_agent_that_carries_code_does_not_run_it(cli: Cli, collect: Collect, capsys: Any, tmp_path: Path) -> None:
    import torch

    class Payload:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "owned"),)

    torch.save({"description": Payload(), "state": {}}, tmp_path / "agent.pt")
    with pytest.raises(SystemExit):
        collect("behaviour=run", f"behaviour.run={tmp_path}", "id=test/a-v0", "steps=5")
    assert "no agent can be read" in capsys.readouterr().err and not (tmp_path / "owned").exists()


def test_help_names_every_behaviour() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "rql.collect", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for path in (ROOT / "conf/behaviour").glob("*.yaml"):
        assert path.stem in answer.stdout.split("behaviour:")[1].split("env:")[0]


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


def test_a_full_disk_ends_a_collection_in_one_sentence(collect: Collect, root: Path, capsys: Any) -> None:
    wanted = ["env=cartpole", "id=test/full-v0", "episodes=200"]
    with small_files(60_000), pytest.raises(SystemExit) as stop:
        collect(*wanted)
    said = capsys.readouterr()
    kept = len(list(read_episodes(journal_path("test/full-v0"))))
    assert stop.value.code == 2 and "an episode cannot be kept" in said.err and "Traceback" not in said.err
    assert kept > 3 and f"{kept} finished episodes are kept" in said.out
    collect(*wanted)
    assert minari.load_dataset("test/full-v0").total_episodes == 200


def test_a_collection_that_was_made_a_set_and_then_killed_is_cleared_up(root: Path) -> None:
    with gymnasium.make("CartPole-v1") as env:
        description = describe_set("test/killed-v0", env, {})
    journal = begin_set(description)
    episode = EpisodeBuffer(
        observations=np.zeros((2, 4), np.float32), actions=np.array([0]), rewards=[1.0], terminations=[True],
        truncations=[False],
    )  # fmt: skip
    journal.append(episode)
    write_set(root / "test/killed-v0", description, read_episodes(journal.path), 1000)
    journal.close()
    assert data_command(["recover", "test/killed-v0"]) == 0
    assert [path.name for path in (root / "test").iterdir()] == ["killed-v0"]


def test_the_data_set_of_a_run_lies_where_its_others_do(root: Path, cli: Cli, tmp_path: Path) -> None:
    place = [f"dataset.root={tmp_path / 'mine'}", "+env.kwargs.max_episode_steps=10"]
    cli(*TINY, *place, "online.save_replay=test/replay-v0")
    assert (tmp_path / "mine/test/replay-v0/data").is_dir() and not root.exists()


def test_a_run_ends_at_the_return_that_was_asked_for(cli: Cli) -> None:
    directory = cli(*TINY, "online.stop_return=-1e9")
    lines = [line for line in metrics_of(directory) if line["stage"] == "online"]
    assert lines[-1]["step"] == 12 and "sample_return" in lines[-1]
    assert [line["step"] for line in metrics_of(cli(*TINY, "online.stop_return=0", name="on"))][-1] == 24


def test_a_set_that_came_up_in_the_meantime_stays_and_the_episodes_too(root: Path) -> None:
    with gymnasium.make("CartPole-v1") as env:
        description = describe_set("test/two-v0", env, {})
    journal = begin_set(description)
    episode = EpisodeBuffer(
        observations=np.zeros((2, 4), np.float32), actions=np.array([0]), rewards=[1.0], terminations=[True],
        truncations=[False],
    )  # fmt: skip
    journal.append(episode)
    write_set(root / "test/two-v0", description, [], 1000)
    with pytest.raises(DataError, match="already"):
        finish_set(journal)
    journal.close()
    assert minari.load_dataset("test/two-v0").total_episodes == 0 and len(list(read_episodes(journal.path))) == 1


def test_a_run_does_not_go_on_with_the_episodes_of_another(root: Path, cli: Cli, capsys: Any) -> None:
    with gymnasium.make("Pendulum-v1") as env:
        description = describe_set("test/replay-v0", env, {})
    journal = Journal(journal_path("test/replay-v0"), description)
    journal.append(some_episodes(1)[0])
    journal.close()
    before = journal.path.read_bytes()
    with pytest.raises(SystemExit):
        cli(*TINY, "online.save_replay=test/replay-v0")
    assert "rql.data recover" in capsys.readouterr().err and journal.path.read_bytes() == before


def test_a_run_that_is_cut_off_keeps_the_episodes_it_has(root: Path, cli: Cli, monkeypatch: Any, capsys: Any) -> None:
    at_boundary = Evaluator.at_boundary

    def broken_online(self: Evaluator, state: Any, policy: Any) -> Any:
        if policy == "final":
            raise RQLError("training diverged")
        return at_boundary(self, state, policy)

    monkeypatch.setattr(Evaluator, "at_boundary", broken_online)
    short = ["offline.updates=0", "+env.kwargs.max_episode_steps=5", "online.eval_every=0"]
    with pytest.raises(SystemExit):
        cli(*TINY, *short, "online.save_replay=test/replay-v0")
    said = capsys.readouterr()
    assert "training diverged" in said.err and "4 finished episodes are kept" in said.out
    assert data_command(["recover", "test/replay-v0"]) == 0
    assert minari.load_dataset("test/replay-v0").total_steps == 20
