"""`policy.action_limit`: demonstrations that saturate are cloned as actions that can still be left."""

import math

import pytest
import torch
from agent_states import first_state
from conftest import compose_config
from made_data import CPU
from rql_setup import BATCH, CONTINUOUS, Setup, batch_of

from rql.agents.build import build_agent
from rql.method.losses import bc_loss
from rql.nn.distributions import SquashedGaussian

CLONES = {
    "Gaussian": ["policy=auto"],
    "mixture": ["policy=mixture", "composition=residual", "cql=off"],
    "agent=bc": ["agent=bc"],
}


@pytest.mark.parametrize("clone", CLONES.values(), ids=CLONES)
@pytest.mark.parametrize("limit", [0.9, 0.999])
def test_the_mode_of_a_clone_of_saturated_actions_lies_at_the_limit(clone: list[str], limit: float) -> None:
    config = compose_config(*clone, f"policy.action_limit={limit}", "bc.learning_rate=0.01")
    agent = build_agent(config, CONTINUOUS, CPU)
    state, cloning, draws = first_state(agent, CONTINUOUS), agent.stages[0], torch.Generator().manual_seed(0)
    ends = torch.ones(BATCH, 2) * torch.tensor([1.0, -1.0])
    batch, hparams = batch_of(CONTINUOUS)._replace(action=ends), agent.hparams("bc", 1)
    for _ in range(300):
        state, _ = cloning.cycle[0](state, batch, cloning.noise(BATCH, hparams, draws), hparams)
    mode = agent.policies["bc"].act(state, batch.obs, {}, True)
    torch.testing.assert_close(mode.atanh(), ends * math.atanh(limit), atol=0.1, rtol=0.0)


def test_the_density_is_that_of_the_limit_and_actions_within_it_are_as_they_are() -> None:
    clone = SquashedGaussian(torch.tensor([[0.3, -0.2]]), torch.tensor([[-1.0, 0.5]]))
    beyond, within = torch.tensor([[1.0, -0.97]]), torch.tensor([[0.5, -0.5]])
    at_limit = -clone.log_prob(torch.tensor([[0.95, -0.95]]))
    torch.testing.assert_close(bc_loss(clone, beyond, limit=0.95), at_limit.squeeze())
    torch.testing.assert_close(bc_loss(clone, within, limit=0.95), bc_loss(clone, within))


def test_the_recorded_density_of_the_data_is_the_one_that_is_learned() -> None:
    setup = Setup(CONTINUOUS, "policy.action_limit=0.5")
    bc = setup.agent.residual.bc(setup.state, setup.state.normalizer(setup.batch.obs))
    batch = setup.batch._replace(action=torch.full((BATCH, 2), 0.8))
    noise = setup.agent.diagnosis.noise(BATCH, torch.Generator().manual_seed(0))
    found = setup.agent.diagnose(setup.state, batch, noise)["bc_log_prob"]
    torch.testing.assert_close(found, bc.log_prob(torch.full((BATCH, 2), 0.5)).mean())
