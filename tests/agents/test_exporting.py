"""Policies as files that run without this package, and what the commands on saved agents refuse."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from saved_agents import AGENTS, NUMBERED, SHAPED, UNIFORM, Save, refused, save_random_agent

from rql.agents import exporting
from rql.agents.exporting import FORMATS, load_exported
from rql.agents.loading import open_agent
from rql.commands import evaluate, export
from rql.config.data import EnvConfig
from rql.envs.make import inspect_env

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.load. is deprecated")


@pytest.fixture
def save(tmp_path: Path) -> Save:
    return partial(save_random_agent, tmp_path)


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("overrides", AGENTS.values(), ids=AGENTS)
def test_an_exported_policy_acts_as_the_agent_does(
    save: Save, tmp_path: Path, to: str, overrides: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, spaces = save(*overrides), inspect_env(EnvConfig(overrides[0].removeprefix("env.id=")))[0]
    obs = torch.randn(7, spaces.obs_dim)
    for which in ("final", "bc") if to == "torchscript" else ("final",):
        out = tmp_path / f"{which}.out"
        assert export.main([str(folder), "--to", to, "--out", str(out), "--policy", which]) == 0
        act, saved = load_exported(out.read_bytes(), to), open_agent(folder)
        expected = saved.decided.to_env(saved.agent.policies[which].act(saved.state, obs, {}, True).numpy())
        for rows in (slice(0, 1), slice(0, 7)):
            action = act(obs[rows]).numpy()
            assert action.dtype == expected.dtype and np.allclose(action, expected[rows], atol=1e-5)
        if to == "onnx":
            graph = onnx.load_from_string(out.read_bytes()).graph
            assert {value.type.tensor_type.shape.dim[0].dim_param for value in (*graph.input, *graph.output)} == {
                "batch"
            }
    assert "acts as the agent does at 1,000 observations" in capsys.readouterr().out


def test_an_export_that_acts_otherwise_leaves_no_file(
    save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Wrong(exporting.PolicyModule):
        def forward(self, obs: torch.Tensor, proposals: torch.Tensor | None = None) -> torch.Tensor:
            return super().forward(obs, proposals) + 1e-4

    monkeypatch.setattr(exporting, "PolicyModule", Wrong)
    out = tmp_path / "policy.pt"
    said = refused(export, [save(SHAPED), "--to", "torchscript", "--out", out], capsys)
    assert "acts otherwise than the agent at 1000 of 1000 observations" in said and not out.exists()


def test_of_actions_that_are_as_good_an_export_may_take_either(save: Save) -> None:
    saved = open_agent(save(NUMBERED, *UNIFORM))
    obs, ones = torch.randn(4, saved.spaces.obs_dim), torch.ones(4, dtype=torch.int64)
    best = saved.agent.policies["final"].act(saved.state, obs, {}, True)
    assert exporting._disagreements(saved, "final", {"obs": obs}, best + 5) == 0
    assert exporting._disagreements(saved, "final", {"obs": obs}, (best + 1) % 3 + 5) == 4
    assert exporting._disagreements(saved, "bc", {"obs": obs}, ones + 5) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{run}", "--episodes", "0"], "argument --episodes: 0 is no whole number of at least 1"),
        (["{run}", "--num-envs", "two"], "argument --num-envs: two is no whole number"),
        (["{run}", "--seed", "-1"], "--seed"),
        (["{run}", "--mode", "best"], "argument --mode: invalid choice"),
        (["{run}", "--policy", "best"], "one of bc, final"),
        ([], "required: PATH"),
        (["/no/where"], "no agent can be read from /no/where: No such file or directory; a run's folder"),
        (["{run}/empty"], "holds no agent: neither agent.pt nor checkpoints"),
        (["{run}/damaged.pt"], "damaged.pt is no file of RQL"),
        (["{run}", "--json", "{run}/agent.pt"], "is there already; name another file"),
        (["{run}", "--json", "/no/where.json"], "there is no folder /no"),
        (["{run}", "--video", "{run}/agent.pt"], "is there already"),
        (["{run}", "--json", "{run}/a.gif", "--video", "{run}/a.gif"], "a.gif cannot be both"),
        (["{run}", "--video", "{run}/film.avi"], "its name must end in .gif or .mp4"),
        (["{run}", "--video", "{run}/film.gif"], "RQLTestShaped-v0 cannot be filmed: it does not render to rgb_array"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(
    save: Save, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refused(evaluate, _with_files(save(SHAPED), arguments), capsys)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{run}", "--out", "{run}/x"], "required: --to"),
        (["{run}", "--to", "onnx"], "required: --out"),
        (["{run}", "--to", "excel", "--out", "{run}/x"], "argument --to: invalid choice"),
        (["{run}", "--to", "onnx", "--out", "{run}/agent.pt"], "is there already"),
        (["{run}", "--to", "onnx", "--out", "/no/where.onnx"], "there is no folder /no"),
        (["/no/where", "--to", "onnx", "--out", "{run}/x"], "no agent can be read from /no/where"),
        (["{run}/damaged.pt", "--to", "onnx", "--out", "{run}/x"], "damaged.pt is no file of RQL"),
    ],
)
def test_what_cannot_be_exported_is_refused(
    save: Save, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save(SHAPED)
    assert said in refused(export, _with_files(folder, arguments), capsys)
    assert not (folder / "x").exists()


@pytest.mark.parametrize(
    ("command", "arguments", "package", "said"),
    [
        (export, ["--to", "onnx", "--out", "{run}/x"], "onnxruntime", "pip install 'rql[onnx]'"),
        (evaluate, ["--video", "{run}/x.mp4"], "imageio_ffmpeg", "pip install 'rql[video]'"),
    ],
)
def test_a_package_that_is_missing_is_named(
    save: Save,
    command: Any,
    arguments: list[str],
    package: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert said in refused(command, _with_files(save(SHAPED), ["{run}", *arguments]), capsys)


def _with_files(run: Path, arguments: list[str]) -> list[str]:
    (run / "empty").mkdir()
    (run / "damaged.pt").write_bytes(b"nothing")
    return [argument.format(run=run) for argument in arguments]
