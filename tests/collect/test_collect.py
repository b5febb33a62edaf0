"""Making data sets: what is collected is what the environment did, and nothing finished is lost."""

import io
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import gymnasium
import minari
import numpy as np
import pytest
import stable_baselines3
import torch
from conftest import ROOT, TINY, Cli, Collect, ended, in_another_process, metrics_of
from full_disk import small_files
from gymnasium.envs.classic_control import CartPoleEnv
from made_data import some_episodes

from rql.commands.data import main as data_command
from rql.config.data import EnvConfig, MinariDatasetConfig
from rql.data.journal import Journal, read_episodes
from rql.data.load import load_datasets
from rql.data.sources.minari import journal_path
from rql.data.writing import describe_set
from rql.envs.make import inspect_env
from rql.evaluation.evaluator import Evaluator
from rql.utils.errors import RQLError
from rql.utils.files import seal


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
    spaces, env = inspect_env(env_config)
    datasets = load_datasets(MinariDatasetConfig(id="test/random-v0"), env_config, spaces, env)
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
        "env=hopper", "++env.kwargs.max_episode_steps=50", "id=test/hopper/random-v0", "steps=100", "seed=7",
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


def test_the_policies_of_a_run_collect_in_its_environment(collect: Collect, finished: Path) -> None:
    for policy, mode in (("bc", "mode"), ("final", "sample")):
        chosen = [f"behaviour.run={finished}", f"behaviour.policy={policy}", f"behaviour.mode={mode}"]
        collect("behaviour=run", *chosen, f"id=test/{policy}-v0", "episodes=3")
        replay(f"test/{policy}-v0")
    data = minari.load_dataset("test/final-v0")
    assert data.total_steps == 120 and data.env_spec.max_episode_steps == 40
    assert "π_final after" in data.storage.metadata["algorithm_name"]


def test_the_saved_policy_is_the_one_that_was_evaluated(collect: Collect, cli: Cli) -> None:
    """In CartPole a policy's mode is deterministic: from the same start it has the same return."""
    from rql.utils.random import stream_seed

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
    short = ["online.env_steps=45", "++env.kwargs.max_episode_steps=10", "env.num_envs=2"]
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


class SlowCartPole(CartPoleEnv):
    """Its episodes take some fifty milliseconds."""

    def step(self, action: Any) -> Any:
        time.sleep(0.002)
        return super().step(action)  # type: ignore[no-untyped-call]


gymnasium.register("RQLTestSlowCartPole-v0", entry_point=lambda **_: SlowCartPole(), max_episode_steps=500)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_whatever_cuts_a_collection_off_its_finished_episodes_are_kept(how: int, root: Path) -> None:
    place = [f"hydra.run.dir={root.parent}", f"dataset.root={root}"]
    wanted = ["env.id=RQLTestSlowCartPole-v0", "id=test/slow-v0", "env.num_envs=2", *place]
    path, said = journal_path("test/slow-v0"), root.parent / "said"
    process = in_another_process(*wanted, "episodes=100000", command="collect", output=said)
    while len(list(path.glob("*.npz"))) < 20:
        assert process.is_alive()
        time.sleep(0.02)
    os.kill(process.pid, how)
    code = ended(process, 30)
    kept = len(list(read_episodes(path)))
    assert kept > 5 and not (root / "test/slow-v0").exists()
    if how == signal.SIGINT:
        assert code == 130 and f"{kept} finished episodes are kept" in said.read_text()
    more = in_another_process(*wanted, f"episodes={kept + 5}", command="collect", output=said)
    assert ended(more, 60) == 0 and f"going on after {kept} episodes" in said.read_text()
    data = minari.load_dataset("test/slow-v0")
    assert data.total_episodes == kept + 5 and not path.exists()
    seeds = [m["seed"] for m in data.storage.get_episode_metadata(range(data.total_episodes))]
    assert sorted(seeds) == list(range(kept + 5))


REFUSED: list[tuple[list[str], list[str]]] = [
    (["env=pendulum", "steps=10"], ["id=???"]),
    (["id=test/a-v0", "env=pendulum"], ["steps", "either"]),
    (["id=test/a-v0", "env=pendulum", "steps=5", "episodes=5"], ["steps", "either"]),
    (["id=test/a-v0", "env=pendulum", "steps=0"], ["steps=0", "at least 1"]),
    (["id=test/a-v0", "steps=5"], ["env.id=auto", "behaviour=run"]),
    (["id=nonsense", "env=pendulum", "steps=5"], ["nonsense is no Minari id"]),
    (["id=test/a-v0", "env=hopper", "steps=5", "behaviour=scripted"], ["Hopper-v5 has no scripted controller"]),
    (
        ["id=test/a-v0", "steps=5", "behaviour=run", "behaviour.run=/no/where"],
        ["no agent can be read from /no/where: No such file"],
    ),
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
def test_a_damaged_agent_is_refused(damage: Any, cloned: Path, collect: Collect, tmp_path: Path, capsys: Any) -> None:
    path = shutil.copytree(cloned, tmp_path / "run") / "agent.pt"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(SystemExit):
        collect("behaviour=run", f"behaviour.run={path}", "id=test/a-v0", "steps=5")
    assert f"error: {path} is" in capsys.readouterr().err
    collect("behaviour=run", f"behaviour.run={path.parent}", "id=test/a-v0", "steps=5")  # its checkpoints are whole
    assert f"{path} is" in capsys.readouterr().out


def test_an_agent_that_carries_code_does_not_run_it(cli: Cli, collect: Collect, capsys: Any, tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "owned"),)

    content = io.BytesIO()
    torch.save({"description": Payload(), "state": {}}, content)
    (tmp_path / "agent.pt").write_bytes(seal(content.getvalue()))
    with pytest.raises(SystemExit):
        collect("behaviour=run", f"behaviour.run={tmp_path}", "id=test/a-v0", "steps=5")
    assert "no agent can be read" in capsys.readouterr().err and not (tmp_path / "owned").exists()


def test_help_names_every_behaviour(collect: Collect, capsys: Any) -> None:
    collect("--help")
    said = capsys.readouterr().out
    for path in (ROOT / "conf/behaviour").glob("*.yaml"):
        assert path.stem in said.split("behaviour:")[1].split("env:")[0]


def test_a_full_disk_ends_a_collection_in_one_sentence(collect: Collect, root: Path, capsys: Any) -> None:
    wanted = ["env=cartpole", "id=test/full-v0", "episodes=200"]
    with small_files(3_500), pytest.raises(SystemExit) as stop:
        collect(*wanted)
    said = capsys.readouterr()
    kept = len(list(read_episodes(journal_path("test/full-v0"))))
    assert stop.value.code == 2 and "an episode cannot be kept" in said.err and "Traceback" not in said.err
    assert kept > 3 and f"{kept} finished episodes are kept" in said.out
    collect(*wanted)
    assert minari.load_dataset("test/full-v0").total_episodes == 200


def test_the_data_set_of_a_run_lies_where_its_others_do(root: Path, cli: Cli, tmp_path: Path) -> None:
    place = [f"dataset.root={tmp_path / 'mine'}", "++env.kwargs.max_episode_steps=10"]
    cli(*TINY, *place, "online.save_replay=test/replay-v0")
    assert (tmp_path / "mine/test/replay-v0/data").is_dir() and not root.exists()


def test_a_run_ends_at_the_return_that_was_asked_for(cli: Cli) -> None:
    directory = cli(*TINY, "online.stop_return=-1e9")
    lines = [line for line in metrics_of(directory) if line["stage"] == "online"]
    assert lines[-1]["step"] == 12 and "sample_return" in lines[-1]
    assert [line["step"] for line in metrics_of(cli(*TINY, "online.stop_return=0", name="on"))][-1] == 24


def test_a_run_does_not_go_on_with_the_episodes_of_another(root: Path, cli: Cli, capsys: Any) -> None:
    with gymnasium.make("Pendulum-v1") as env:
        description = describe_set("test/replay-v0", env, {})
    journal = Journal(journal_path("test/replay-v0"), description)
    journal.append(some_episodes(1)[0])
    journal.close()
    before = {file: file.read_bytes() for file in journal.path.iterdir()}
    with pytest.raises(SystemExit):
        cli(*TINY, "online.save_replay=test/replay-v0")
    assert "rql data recover" in capsys.readouterr().err
    assert {file: file.read_bytes() for file in journal.path.iterdir()} == before


def test_a_run_that_is_cut_off_keeps_the_episodes_it_has(root: Path, cli: Cli, monkeypatch: Any, capsys: Any) -> None:
    at_end = Evaluator.at_end

    def broken_online(self: Evaluator, state: Any, policy: Any) -> Any:
        if policy == "final":
            raise RQLError("training diverged")
        return at_end(self, state, policy)

    monkeypatch.setattr(Evaluator, "at_end", broken_online)
    short = ["offline.updates=0", "++env.kwargs.max_episode_steps=5", "online.eval_every=0"]
    with pytest.raises(SystemExit):
        cli(*TINY, *short, "online.save_replay=test/replay-v0")
    said = capsys.readouterr()
    assert "training diverged" in said.err and "4 finished episodes are kept" in said.out
    assert data_command(["recover", "test/replay-v0"]) == 0
    assert minari.load_dataset("test/replay-v0").total_steps == 20
