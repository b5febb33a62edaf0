"""The equations against brute force: a tabular MDP, enumerated by hand."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from rql.method import ensemble, targets
from rql.method.actions import (
    WeightedActions,
    enumerate_actions,
    enumerate_prior,
)
from rql.method.composition import kl_from_prior, log_composed, prior_variance
from rql.method.losses import cql_loss, td_loss
from rql.nn.distributions import Categorical

STATES, ACTIONS, BETA, DISCOUNT = 4, 3, 0.7, 0.9


@pytest.fixture
def mdp() -> dict[str, NDArray[Any]]:
    """Q, π_BC, rewards and deterministic transitions of a small MDP; state 3 is terminal."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(STATES, ACTIONS))
    return {
        "q": rng.normal(size=(STATES, ACTIONS)),
        "prior": np.exp(logits) / np.exp(logits).sum(1, keepdims=True),
        "reward": rng.normal(size=(STATES, ACTIONS)),
        "next": rng.integers(STATES, size=(STATES, ACTIONS)),
    }


def discrete(mdp: dict[str, NDArray[Any]]) -> tuple[Tensor, WeightedActions]:
    bc = Categorical(torch.tensor(np.log(mdp["prior"])) + 5.0)  # logits need not be normalised
    return torch.tensor(mdp["q"]), enumerate_prior(bc)


def test_the_discrete_composition_is_the_prior_times_exp_beta_q_over_z(mdp: dict[str, NDArray[Any]]) -> None:
    q, weighted = discrete(mdp)
    for s in range(STATES):
        z = sum(mdp["prior"][s, a] * math.exp(BETA * mdp["q"][s, a]) for a in range(ACTIONS))
        for a in range(ACTIONS):
            expected = mdp["prior"][s, a] * math.exp(BETA * mdp["q"][s, a]) / z
            assert log_composed(q, weighted.log_weight, torch.tensor(BETA))[s, a].exp().item() == pytest.approx(
                expected
            )


def test_discrete_next_values_equal_enumeration(mdp: dict[str, NDArray[Any]]) -> None:
    q, weighted = discrete(mdp)
    beta = torch.tensor(BETA)
    for s in range(STATES):
        prior, value = mdp["prior"][s], mdp["q"][s]
        z = sum(prior * np.exp(BETA * value))
        final = prior * np.exp(BETA * value) / z
        kl = sum(final * np.log(final / prior))
        at_s = {
            name: getattr(targets, name)(q, weighted.log_weight, beta)[s].item()
            for name in dir(targets)
            if "_value" in name
        }
        assert at_s["prior_value"] == pytest.approx(sum(prior * value))
        assert at_s["max_value"] == pytest.approx(max(value))
        assert at_s["expected_value"] == pytest.approx(sum(final * value))
        assert at_s["soft_value"] == pytest.approx(math.log(z) / BETA)
        assert at_s["soft_value"] == pytest.approx(sum(final * value) - kl / BETA)
        assert kl_from_prior(q, weighted.log_weight, beta)[s].item() == pytest.approx(kl)
        spread = math.sqrt(sum(prior * (value - sum(prior * value)) ** 2))
        assert prior_variance(q, weighted.log_weight)[s].item() == pytest.approx(spread**2)


def test_the_soft_value_goes_from_the_mean_of_the_prior_to_the_maximum(mdp: dict[str, NDArray[Any]]) -> None:
    q, weighted = discrete(mdp)
    mean = torch.tensor((mdp["prior"] * mdp["q"]).sum(1))
    for small in (0.0, 1e-6, 1e-3):
        assert torch.allclose(targets.soft_value(q, weighted.log_weight, torch.tensor(small)), mean, atol=1e-3)
    assert torch.allclose(targets.soft_value(q, weighted.log_weight, torch.tensor(1e3)), q.amax(1), atol=1e-2)


def test_soft_backups_iterated_solve_the_kl_regularised_mdp(mdp: dict[str, NDArray[Any]]) -> None:
    """The fixed point of the soft target is the value of π_final, reward less KL/β, by solving the linear system."""
    q = torch.zeros(STATES, ACTIONS, dtype=torch.float64)
    _, weighted = discrete(mdp)
    reward, following = torch.tensor(mdp["reward"]), torch.tensor(mdp["next"])
    terminated = (following == STATES - 1).double()
    beta, discount = torch.tensor(BETA, dtype=torch.float64), torch.tensor(DISCOUNT, dtype=torch.float64)
    for _ in range(400):
        value = targets.soft_value(q, weighted.log_weight, beta)
        q = targets.td_target(reward, terminated, value[following], discount)
    final = log_composed(q, weighted.log_weight, beta).exp().numpy()
    kl = kl_from_prior(q, weighted.log_weight, beta).numpy()
    moves = np.zeros((STATES, STATES))
    for s in range(STATES):
        for a in range(ACTIONS):
            if not terminated[s, a]:
                moves[s, mdp["next"][s, a]] += final[s, a]
    gain = (final * mdp["reward"]).sum(1) - kl / BETA
    solved = np.linalg.solve(np.eye(STATES) - DISCOUNT * moves, gain)
    assert np.allclose(targets.soft_value(q, weighted.log_weight, beta).numpy(), solved)


def test_termination_stops_the_bootstrap_and_truncation_does_not() -> None:
    target = targets.td_target(
        reward=torch.tensor([1.0, 1.0]),
        terminated=torch.tensor([1.0, 0.0]),
        next_value=torch.tensor([10.0, 10.0]),
        discount=torch.tensor(0.5),
    )
    assert target.tolist() == [1.0, 6.0]


def test_td_and_cql_losses_equal_sums_by_hand(mdp: dict[str, NDArray[Any]]) -> None:
    q = torch.tensor(np.stack([mdp["q"], 2.0 * mdp["q"]]))
    action, target = [0, 2, 1, 1], np.array([0.5, -1.0, 0.0, 2.0])
    chosen = q[:, range(STATES), action]
    by_hand = sum((scale * mdp["q"][s, action[s]] - target[s]) ** 2 / STATES for scale in (1, 2) for s in range(STATES))
    assert td_loss(chosen, torch.tensor(target)).item() == pytest.approx(by_hand)
    weighted = enumerate_actions(Categorical(torch.zeros(STATES, ACTIONS, dtype=torch.float64)))
    by_hand = sum(
        (math.log(sum(math.exp(scale * v) for v in mdp["q"][s])) - scale * mdp["q"][s, action[s]]) / STATES
        for scale in (1, 2)
        for s in range(STATES)
    )
    assert cql_loss(q, weighted.log_weight, chosen).item() == pytest.approx(by_hand)


def test_the_cql_gradient_pushes_every_action_down_by_its_softmax_and_the_data_action_up() -> None:
    q = torch.tensor([[[0.0, 1.0, -1.0]]], dtype=torch.float64, requires_grad=True)
    cql_loss(q, torch.zeros(1, 3, dtype=torch.float64), q[..., 1]).backward()  # type: ignore[no-untyped-call]
    softmax = np.exp([0.0, 1.0, -1.0]) / np.exp([0.0, 1.0, -1.0]).sum()
    assert q.grad is not None
    assert np.allclose(q.grad.numpy().ravel(), softmax - [0.0, 1.0, 0.0])


def test_no_gradient_flows_through_the_target() -> None:
    target = torch.tensor([1.0], requires_grad=True)
    q = torch.tensor([[3.0]], requires_grad=True)
    td_loss(q, target).backward()  # type: ignore[no-untyped-call]
    assert target.grad is None and q.grad is not None and q.grad.item() == pytest.approx(4.0)


def test_aggregates() -> None:
    q = torch.tensor([[1.0, 5.0], [2.0, 4.0], [3.0, 3.0]])
    assert ensemble.minimum(q).tolist() == [1.0, 3.0]
    assert ensemble.mean(q).tolist() == [2.0, 4.0]
    assert ensemble.random_minimum(q, torch.tensor([0.9, 0.1, 0.5]), 2).tolist() == [2.0, 3.0]
