"""Calibrated Q-learning (Nakamoto et al. 2023): CQL whose push downwards stops at the return of the data."""

import torch
from torch import Tensor

from rql.agents.cql import CQL
from rql.data.batch import MC_RETURN, Batch


class CalQL(CQL):
    """CQL with max(Q, return) in the place of Q where the policy's actions are pushed down.

    The return is that of the data from the state on. Where an episode was cut off, or still goes on, it misses what
    came after, which with rewards below 0 is a bound too high: less is pushed down.
    """

    needs: frozenset[str] = frozenset({MC_RETURN})

    def of_space(self, q: Tensor, batch: Batch) -> Tensor:
        """Q (E, B, 3M), that of the policy's actions at least the return."""
        of_uniform, of_policy = q.tensor_split([self.num_samples], dim=-1)
        return torch.cat([of_uniform, torch.maximum(of_policy, batch.extra[MC_RETURN].unsqueeze(-1))], dim=-1)
