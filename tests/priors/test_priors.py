"""Policies that are there already as priors: one policy in every form, and what is wrong with others."""

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT, TINY, Cli, compose_config, metrics_of, summary_of, without_times
from saved_agents import refused

from rql.agents.exporting import FORMATS, load_exported
from rql.commands import export
from rql.config.schema import Config
from rql.envs.make import inspect_env
from rql.priors.base import FILLING, Prior, Proposer, open_prior
from rql.utils.errors import RQLError

FINETUNE = ("experiment=finetune", *(one for one in TINY if not one.startswith(("dataset.", "bc.", "offline."))))
SERVED = """
import sys
sys.path.insert(0, {examples!r})
import torch
from serve_policy import serve
policy = torch.jit.load({path!r})
print("a policy may print what it likes")
serve(lambda obs, n, seed, slots: policy(torch.from_numpy(obs)).numpy()[:, None].repeat(n, 1), name="served")
"""
LOADED = """
import numpy as np
import rql

def make(path):
    policy = rql.load_policy(path, "bc")
    return lambda obs: policy.batch(obs)
"""


def command(path: Path) -> str:
    return shlex.join([sys.executable, str(path)])


@pytest.fixture(scope="module")
def forms(cloned: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The clone of one run in every form, as overrides."""
    folder = tmp_path_factory.mktemp("forms")
    for to in ("torchscript", "onnx"):
        assert export.main([str(cloned), "--to", to, "--out", str(folder / to), "--policy", "bc"]) == 0
    (folder / "served.py").write_text(SERVED.format(examples=str(ROOT / "examples"), path=str(folder / "torchscript")))
    (folder / "loaded_clone.py").write_text(LOADED)
    sys.path.append(str(folder))
    target = ["prior.target=loaded_clone:make", f"+prior.kwargs.path={cloned}", "prior.trusted=true"]
    return {
        "run": ["prior=run", f"prior.run={cloned}", "prior.policy=bc"],
        "torchscript": ["prior=torchscript", f"prior.path={folder / 'torchscript'}"],
        "onnx": ["prior=onnx", f"prior.path={folder / 'onnx'}"],
        "python": ["prior=python", *target],
        "process": ["prior=process", f"prior.command='{command(folder / 'served.py')}'"],
    }


@pytest.fixture
def opened(request: pytest.FixtureRequest) -> Any:
    """Opens the prior of a configuration, and closes it after the test."""

    def call(config: Config) -> tuple[Prior, Proposer]:
        spaces, env = inspect_env(config.env)
        prior = open_prior(config, spaces, env)
        env.close()
        assert prior is not None
        request.addfinalizer(prior.close)
        return prior, Proposer(prior, spaces, 1, 0, FILLING)

    return call


@pytest.mark.filterwarnings("ignore:.torch.jit.load. is deprecated")
@pytest.mark.parametrize("form", ["torchscript", "onnx", "python", "process"])
def test_a_clone_acts_alike_in_every_form(form: str, forms: dict[str, list[str]], opened: Any) -> None:
    obs = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    (_, own), (prior, other) = (opened(compose_config(*FINETUNE, *forms[name])) for name in ("run", form))
    found = other.propose(obs)
    assert found.shape == (100, 1, 1) and not prior.stochastic and not prior.stateful
    np.testing.assert_allclose(found, own.propose(obs), atol=1e-5)
    assert found.std() > 0.01


def test_a_run_finetunes_a_clone_and_what_it_is_read_from_makes_no_difference(
    cli: Cli, cloned: Path, forms: dict[str, list[str]]
) -> None:
    runs = [cli(*FINETUNE, *forms[form], name=form) for form in ("run", "python", "torchscript")]
    records = [without_times(metrics_of(run)) for run in runs]
    assert records[0] == records[1]
    for one, other in zip(records[0], records[2], strict=True):
        figures = {key: value for key, value in one.items() if key != "stage"}
        assert figures == pytest.approx({key: other[key] for key in figures}, rel=1e-3, abs=1e-3)
    assert summary_of(runs[0])["bc/return"] == summary_of(cloned)["bc/return"]  # it plays the same starts
    assert summary_of(runs[0])["online/return"] != summary_of(runs[0])["bc/return"]


def test_what_was_finetuned_is_evaluated_and_finetuned_again(
    cli: Cli, forms: dict[str, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    import rql

    first = cli(*FINETUNE, *forms["run"], name="first")
    played = {row["policy"]: row["return"] for row in rql.evaluate(first, episodes=2)}
    assert played["bc"] == summary_of(first)["bc/return"] and played["final"] == summary_of(first)["online/return"]
    second = cli(*FINETUNE, "prior=run", f"prior.run={first}", name="second")
    assert summary_of(second)["bc/return"] == summary_of(first)["online/return"]
    assert "finetuning rql π_final of" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:.torch.jit")
@pytest.mark.parametrize("form", ["run", "torchscript", "python"])
def test_what_was_finetuned_is_exported_with_its_prior_or_asks_for_proposals(
    form: str, cli: Cli, forms: dict[str, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import rql

    directory = cli(*FINETUNE, *forms[form], "q.learning_rate=0.05", "composition.learning_rate=0.05", "beta.start=3")
    policy, obs = rql.load_policy(directory), np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    clone = rql.load_policy(directory, "bc")
    given = [torch.from_numpy(obs)]
    if form == "python":
        given.append(torch.from_numpy(clone.batch(obs) / 2.0)[:, None])
    for to in FORMATS:
        command = [str(directory), "--to", to, "--out", str(tmp_path / to)]
        if form == "torchscript" and to != "torchscript":
            assert f"--to {to} cannot take TorchScript policy in" in refused(export, command, capsys)
            continue
        assert export.main(command) == 0
        action = load_exported((tmp_path / to).read_bytes(), to)(*given).numpy()
        np.testing.assert_allclose(action, policy.batch(obs), atol=1e-4)
        said = capsys.readouterr().out
        assert ("and proposals (B, 1, 1) float32 in [-1, 1], those of loaded_clone:make" in said) == (form == "python")
    assert np.abs(policy.batch(obs) - clone.batch(obs)).max() > 0.01


def test_a_run_whose_prior_changed_does_not_go_on(
    cli: Cli, forms: dict[str, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "policy.pt").write_bytes(Path(forms["torchscript"][1].removeprefix("prior.path=")).read_bytes())
    chosen = [*FINETUNE, "prior=torchscript", f"prior.path={tmp_path / 'policy.pt'}"]
    cli(*chosen)
    torch.jit.save(torch.jit.script(torch.nn.Linear(3, 1)), tmp_path / "policy.pt")
    with pytest.raises(SystemExit):
        cli(*chosen, "online.env_steps=48")
    assert f"the prior TorchScript policy in {tmp_path / 'policy.pt'} changed since" in capsys.readouterr().err


def test_candidates_of_a_prior_that_samples_are_resampled(cli: Cli, forms: dict[str, list[str]]) -> None:
    chosen = ["composition=resample", "target=soft", "composition.num_candidates=4", "prior.mode=sample", "beta=kl"]
    run = cli(*FINETUNE, *forms["run"], *chosen, "beta.budget_end=0.3", "beta.end_step=null")
    assert 0.0 < summary_of(run)["online/ess"] <= 1.0


SERVERS = {
    "dies": ("exit()", "ended with exit code 0"),
    "dies later": ("say(protocol=1); input(); exit(3)", "ended with exit code 3"),
    "hangs": ("time.sleep(60)", "does not answer within prior.timeout=0.3 seconds"),
    "hangs later": ("say(protocol=1); input(); time.sleep(60)", "does not answer within prior.timeout=0.3 seconds"),
    "speaks no JSON": ("print('hello')", "answers 'hello', which is no JSON object"),
    "another protocol": ("say(protocol=7)", "a program that begins with {'protocol': 1"),
    "another shape": ("say(protocol=1); input(); say(actions=[[1.0, 2.0]])", "shape (1, 2); (B, n, d) is (2, 1, 1)"),
    "nan": ("say(protocol=1); input(); say(actions=[[[math.nan]], [[0]]])", "gives actions that are not finite"),
    "no actions": ("say(protocol=1); input(); say(action=0)", "which holds no actions"),
    "an error": ("say(protocol=1); input(); say(error='no GPU')", "says: no GPU"),
}


@pytest.mark.parametrize(("program", "said"), SERVERS.values(), ids=SERVERS)
def test_a_process_that_fails_is_one_sentence(program: str, said: str, tmp_path: Path, opened: Any) -> None:
    path = tmp_path / "served.py"
    say = "say = lambda **answer: print(json.dumps(answer), flush=True)"
    path.write_text(f"import json, math, time\n{say}\n{program}\n")
    timeout = "0.3" if "sleep" in program else "20"
    named = ["prior=process", f"prior.command='{command(path)}'", f"prior.timeout={timeout}", "prior.max_restarts=1"]
    with pytest.raises(RQLError) as error:
        opened(compose_config(*FINETUNE, *named))
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_process_that_dies_now_and_then_is_started_anew(
    tmp_path: Path, opened: Any, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "served.py"
    path.write_text(
        f"import sys; sys.path.insert(0, {str(ROOT / 'examples')!r})\n"
        "import numpy as np\nfrom serve_policy import serve\ncalls = []\n"
        "def sample(obs, n, seed, slots):\n"
        "    calls.append(1)\n    sys.exit(1) if len(calls) > 2 else None\n"
        "    return np.full((len(obs), n, 1), seed % 2)\n"
        "serve(sample, name='short-lived')\n"
    )
    _, proposer = opened(compose_config(*FINETUNE, "prior=process", f"prior.command='{command(path)}'"))
    found = [proposer.propose(np.zeros((2, 3), np.float32)).shape for _ in range(5)]
    assert found == [(2, 1, 1)] * 5
    assert [record.message.rpartition("; ")[2] for record in caplog.records] == ["restart 1", "restart 2"]


@pytest.fixture
def bad_modules(tmp_path: Path) -> Iterator[None]:
    (tmp_path / "bad_priors.py").write_text(
        "import numpy as np\n"
        "raises = lambda: (lambda obs: 1 / 0)\nnumber = lambda: 3\nfails = lambda: 1 / 0\n"
        "wide = lambda: (lambda obs: np.zeros((len(obs), 2)))\n"
    )
    sys.path.append(str(tmp_path))
    yield
    sys.path.remove(str(tmp_path))
    sys.modules.pop("bad_priors", None)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["prior=run", "prior.run=/nowhere"], "no agent can be read from /nowhere"),
        (["prior=torchscript", "prior.path=/nowhere"], "prior.path=/nowhere is not possible: a file that can be read"),
        (["prior=torchscript", f"prior.path={__file__}"], "no TorchScript policy can be read from"),
        (["prior=sb3", f"prior.path={__file__}"], "prior.trusted=False is not possible: true, once you know"),
        (["prior=python", "prior.target=x"], "prior.trusted=False is not possible: true, once you know"),
        (["prior=python", "prior.target=x", "prior.trusted=true"], "prior.target=x is not possible: package.module"),
        (["prior=python", "prior.target=x:y", "prior.trusted=true"], "No module named 'x'"),
        (["prior=python", "prior.target=bad_priors:number", "prior.trusted=true"], "it makes a int, where a function"),
        (["prior=python", "prior.target=bad_priors:fails", "prior.trusted=true"], "it raised ZeroDivisionError"),
        (["prior=python", "prior.target=bad_priors:raises", "prior.trusted=true"], "raised ZeroDivisionError"),
        (["prior=python", "prior.target=bad_priors:wide", "prior.trusted=true"], "shape (2, 1, 2); (B, n, d) is"),
        (["prior=run", "prior.run=x", "composition=amortized"], "composition=amortized is not possible: residual or"),
        (["prior=run", "prior.run=x", "composition=resample"], "proposes one action in a state"),
        (["prior=run", "prior.run=x", "baseline=value"], "baseline=value is not possible: none or mean"),
        (["prior=run", "prior.run=x", "bc.updates=5"], "bc.updates=5 is not possible: 0 with prior=run"),
        (["prior=run", "prior.run=x", "agent=iql"], "prior=run is not possible: bc with agent=iql"),
        (["prior=run", "prior.run=x", "env=cartpole"], "bc: the actions of CartPole-v1 are discrete"),
    ],
)
def test_what_cannot_be_a_prior_is_refused_before_any_work(
    overrides: list[str], said: str, cli: Cli, tmp_path: Path, bad_modules: None, capsys: pytest.CaptureFixture[str]
) -> None:
    target = ["target=soft"] if "composition=resample" in overrides else []
    with pytest.raises(SystemExit) as stopped:
        cli(*FINETUNE, *target, *overrides)
    assert stopped.value.code == 2 and said in capsys.readouterr().err
    assert not (tmp_path / "run").exists() or not any((tmp_path / "run").iterdir())
