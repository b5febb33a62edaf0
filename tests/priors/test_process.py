"""Priors that live in a process of their own: those that fail, and those that are started anew."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, Cli, metrics_of, summary_of
from opened_priors import FINETUNE, command, opened

from rql.priors.base import EVALUATION
from rql.utils.errors import RQLError

SERVERS = {
    "dies": ("exit()", "ended with exit code 0"),
    "dies later": ("say(protocol=1); input(); exit(3)", "ended with exit code 3"),
    "hangs": ("time.sleep(60)", "does not answer within prior.timeout=0.3 seconds"),
    "hangs later": ("say(protocol=1); input(); time.sleep(60)", "does not answer within prior.timeout=0.3 seconds"),
    "speaks no JSON": ("print('hello')", "answers 'hello', which is no JSON object"),
    "another protocol": ("say(protocol=7)", "a program that begins with {'protocol': 1"),
    "another shape": ("say(protocol=1); input(); say(actions=[[1.0, 2.0]])", "shape (1, 2); (B, n, d) is (2, 1, 1)"),
    "nan": ("say(protocol=1); input(); say(actions=[[[math.nan]], [[0]]])", "gives [[nan]] at the observation ["),
    "no actions": ("say(protocol=1); input(); say(action=0)", "which holds no actions"),
    "an error": ("say(protocol=1); input(); say(error='no GPU')", "says: no GPU"),
}


@pytest.mark.parametrize(("program", "said"), SERVERS.values(), ids=SERVERS)
def test_a_process_that_fails_is_one_sentence(program: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "served.py"
    say = "say = lambda **answer: print(json.dumps(answer), flush=True)"
    path.write_text(f"import json, math, time\n{say}\n{program}\n")
    timeout = "0.3" if "sleep" in program else "20"
    named = ["prior=process", f"prior.command='{command(path)}'", f"prior.timeout={timeout}", "prior.max_restarts=1"]
    with pytest.raises(RQLError) as error, opened(*named):
        pass
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_process_that_stops_reading_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "served.py"
    lines = ["say = lambda **answer: print(json.dumps(answer), flush=True)", "say(protocol=1); input()"]
    path.write_text("\n".join(["import json, time", *lines, "say(actions=[[[0]], [[0]]])", "time.sleep(60)"]))
    named = ["prior=process", f"prior.command='{command(path)}'", "prior.timeout=2", "prior.max_restarts=0"]
    with opened(*named) as (prior, proposer):
        with pytest.raises(RQLError, match=r"does not answer within prior\.timeout=2 seconds"):
            proposer.propose(np.zeros((50_000, 3), np.float32))
        assert not prior.digest


def test_a_process_that_closes_its_output_and_lives_on_has_failed() -> None:
    named = ["prior=process", "prior.command='exec 1>&2; sleep 60'", "prior.timeout=0.5"]
    with pytest.raises(RQLError, match="closed its standard output"), opened(*named):
        pass


def test_a_process_that_dies_now_and_then_is_started_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "served.py"
    path.write_text(
        f"import sys; sys.path.insert(0, {str(ROOT / 'examples')!r})\n"
        "import numpy as np\nfrom serve_policy import serve\ncalls = []\n"
        "def sample(obs, n, seed, slots):\n"
        "    calls.append(1)\n    sys.exit(1) if len(calls) > 2 else None\n"
        "    return np.full((len(obs), n, 1), seed % 2)\n"
        "serve(sample, name='short-lived')\n"
    )
    with opened("prior=process", f"prior.command='{command(path)}'") as (_, proposer):
        found = [proposer.propose(np.zeros((2, 3), np.float32)).shape for _ in range(5)]
    assert found == [(2, 1, 1)] * 5
    assert [record.message.rpartition("; ")[2] for record in caplog.records] == ["restart 1", "restart 2"]


FAILING = """
import sys
sys.path.insert(0, {examples!r})
from pathlib import Path
import numpy as np
from serve_policy import serve
trained = []

def sample(obs, n, seed, slots):
    trained.extend(slots[slots < {evaluation}])
    if len(trained) > 6 and slots[0] >= {evaluation} and not Path({fixed!r}).exists():
        raise RuntimeError("out of memory")
    return np.full((len(obs), n, 1), 0.5)

serve(sample, name="failing")
"""


def test_where_it_fails_in_an_evaluation_the_run_is_saved_and_goes_on(
    cli: Cli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fixed, path = tmp_path / "fixed", tmp_path / "served.py"
    path.write_text(FAILING.format(examples=str(ROOT / "examples"), evaluation=EVALUATION, fixed=str(fixed)))
    chosen = [*FINETUNE, "prior=process", f"prior.command='{command(path)}'", "prior.max_restarts=0"]
    with pytest.raises(SystemExit) as stopped:
        cli(*chosen)
    assert stopped.value.code not in (0, None) and "says: RuntimeError: out of memory" in capsys.readouterr().err
    fixed.touch()
    run = cli(*chosen)
    [_, second] = json.loads((run / "run.json").read_text())["attempts"]
    assert "online" in second["resumed_from"]
    assert "online/return" in summary_of(run)
    assert [line["step"] for line in metrics_of(run) if line["stage"] == "online" and "return" in line] == [12, 24]
