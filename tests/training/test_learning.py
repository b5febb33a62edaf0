"""That it learns: better than the clone where deviating pays, and where is known."""

from typing import Any

import numpy as np
import pytest
import torch
from conftest import Cli, metrics_of, summary_of
from corridors import Cells, write_cells

from rql.agents.saving import read_checkpoint, restore_agent
from rql.envs.spaces import describe


@pytest.fixture
def corridor_data(tmp_path: Any, monkeypatch: Any) -> str:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    return write_cells(tmp_path)


CORRIDOR = [
    "env.id=RQLTestCorridor-v0", "dataset=minari", "tracking=disabled", "network.actor.hidden=[16]",
    "network.critic.hidden=[16]", "bc.updates=300", "bc.learning_rate=0.01", "q.learning_rate=0.01", "q.tau=0.05",
    "evaluation.boundary_episodes=20", "batch_size=64", "online.warmup_fraction=0.1", "online.eval_every=0",
    "offline.eval_every=0", "beta=linear", "beta.start=0.5", "beta.end=5",
]  # fmt: skip


@pytest.mark.parametrize("target", ["max", "soft", "expected"])
def test_the_finetuned_policy_finds_the_end_that_pays(target: str, corridor_data: str, cli: Cli) -> None:
    stages = ["offline.updates=300", "online.env_steps=400", "q.discount=0.8"]
    summary = summary_of(cli(*CORRIDOR, *stages, f"dataset.id={corridor_data}", f"target={target}"))
    assert summary["bc/return"] == pytest.approx(0.1)
    assert summary["online/return"] == pytest.approx(1.0)
    assert summary["online/sample_return"] > summary["bc/sample_return"] + 0.3


def test_q_converges_to_the_value_of_the_composed_policy(corridor_data: str, cli: Cli) -> None:
    """With β = 0 the soft backup evaluates π_BC, whose value in the corridor is a linear system."""
    beta = ["beta=constant", "beta.value=0", "cql=off", "q.discount=0.9", "offline.updates=1500", "online.env_steps=0"]
    overrides = [o for o in CORRIDOR if not o.startswith("beta")]
    directory = cli(*overrides, *beta, f"dataset.id={corridor_data}")
    learned = [line["q_data"] for line in metrics_of(directory) if line["stage"] == "offline"][-1]
    visits, moves = _empirical(corridor_data)
    expected = sum(count * moves[key] for key, count in visits.items()) / sum(visits.values())
    assert learned == pytest.approx(expected, abs=0.03)


def _empirical(id: str) -> tuple[dict[tuple[int, int], int], dict[tuple[int, int], float]]:
    """How often each (cell, action) is in the data, and its Q-value under the data's own policy at γ = 0.9."""
    import minari

    visits: dict[tuple[int, int], int] = {}
    for e in minari.load_dataset(id).iterate_episodes():
        for cell, action in zip(e.observations[:-1].argmax(1), e.actions, strict=True):
            visits[int(cell), int(action)] = visits.get((int(cell), int(action)), 0) + 1
    value = np.zeros(6)
    q: dict[tuple[int, int], float] = {}
    for _ in range(500):
        for cell in range(1, 5):
            for action in (0, 1):
                following = cell + (1 if action else -1)
                end = {0: 0.1, 5: 1.0}.get(following)
                q[cell, action] = end if end is not None else 0.9 * value[following]
            total = visits[cell, 0] + visits[cell, 1]
            value[cell] = sum(visits[cell, a] * q[cell, a] for a in (0, 1)) / total
    return visits, q


def test_from_a_uniform_prior_q_is_that_of_soft_value_iteration(cli: Cli) -> None:
    """Without data and at a fixed β."""
    beta, discount = 3.0, 0.9
    scratch = ["experiment=scratch", "env.id=RQLTestCorridor-v0", "tracking=disabled", "q.n_step=1"]
    beta_fixed = ["beta=constant", f"beta.value={beta}", f"q.discount={discount}", "q.tau=0.05", "q.learning_rate=3e-3"]
    budget = ["online.env_steps=1500", "online.warmup_fraction=0.2", "online.eval_every=0", "batch_size=64"]
    nets = ["network.actor.hidden=[8]", "network.critic.hidden=[32]", "evaluation.boundary_episodes=20"]
    directory = cli(*scratch, *beta_fixed, *budget, *nets)
    learned = _values(directory)
    assert learned[1:5] == pytest.approx(_soft_value_iteration(beta, discount)[1:5], abs=0.03)
    assert summary_of(directory)["online/return"] == pytest.approx(1.0)


def _values(directory: Any) -> Any:
    """Q (6, 2) of a saved agent."""
    spaces = describe("corridor", Cells.observation_space, Cells.action_space)
    agent, state = restore_agent(read_checkpoint(directory / "agent.pt"), spaces)
    value = agent.policies["final"].value
    assert value is not None
    cells = torch.eye(6)
    q = [value(state, cells, torch.full((6,), action)) for action in (0, 1)]
    return torch.stack(q, dim=1).numpy()


def _soft_value_iteration(beta: float, discount: float) -> Any:
    q = np.zeros((6, 2))
    for _ in range(500):
        value = np.log(np.exp(beta * q).mean(axis=1)) / beta
        for cell in range(1, 5):
            for action, following in ((0, cell - 1), (1, cell + 1)):
                end = {0: 0.1, 5: 1.0}.get(following)
                q[cell, action] = end if end is not None else discount * value[following]
    return q


def test_from_a_uniform_prior_continuous_actions_find_the_end_that_pays(cli: Cli) -> None:
    """Soft actor-critic with a network π_θ, without data."""
    scratch = ["experiment=scratch", "env.id=RQLTestLine-v0", "tracking=disabled", "q.discount=0.9", "q.tau=0.05"]
    rates = ["q.learning_rate=1e-2", "composition.learning_rate=1e-2", "beta=entropy"]
    budget = ["online.env_steps=800", "online.warmup_fraction=0.2", "online.eval_every=0", "batch_size=64"]
    nets = ["network.actor.hidden=[32]", "network.critic.hidden=[32]", "evaluation.boundary_episodes=20"]
    summary = summary_of(cli(*scratch, *rates, *budget, *nets))
    assert summary["bc/sample_return"] < 0.7
    assert summary["online/return"] == pytest.approx(1.0)
