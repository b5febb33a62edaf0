"""The value of the next state, and the TD target made of it.

`q` is Q̄(s', a_i) (B, N) at weighted actions with `log_weight` (B, N); `beta` is a scalar. All return (B,).
"""

import math

import torch
from torch import Tensor

from rql.method.composition import log_composed

SMALLEST_BETA = 1e-4
"""Below this the soft value is replaced by its limit, the mean under π_BC: 1/β times a rounding error is no value."""


def max_value(q: Tensor, log_weight: Tensor, beta: Tensor) -> Tensor:
    """max_a' Q̄(s',a'): the hard backup. On a sample, the best of N; biased upwards where Q̄ is noisy."""
    return q.amax(-1)


def expected_value(q: Tensor, log_weight: Tensor, beta: Tensor) -> Tensor:
    """E_{a'~π_final} Q̄(s',a')."""
    return (log_composed(q, log_weight, beta).exp() * q).sum(-1)


def prior_value(q: Tensor, log_weight: Tensor, beta: Tensor) -> Tensor:
    """E_{a'~π_BC} Q̄(s',a'): Q_R is that of π_BC itself, and π_final is one step of policy improvement over it.

    One-step RL (Brandfonbrener et al. 2021). The target never follows Q̄ to actions that π_BC does not take.
    """
    return (log_weight.exp() * q).sum(-1)


def soft_value(q: Tensor, log_weight: Tensor, beta: Tensor) -> Tensor:
    """(1/β) log E_{a'~π_BC} exp(β Q̄(s',a')) = E_{π_final} Q̄ − KL(π_final ‖ π_BC)/β.

    The backup for which π_final is the optimal policy of KL-regularised control. For β → 0 it is E_{π_BC} Q̄.
    """
    safe = beta.clamp_min(SMALLEST_BETA)
    soft = (log_weight + safe * q).logsumexp(-1) / safe
    return torch.where(beta < SMALLEST_BETA, prior_value(q, log_weight, beta), soft)


def policy_value(q: Tensor, log_weight: Tensor, beta: Tensor) -> Tensor:
    """E_{a'~π_θ} Q̄(s',a') − KL(π_θ ‖ π_BC)/β on actions drawn from π_θ: what π_θ itself is worth.

    For β → 0, where π_θ is π_BC, it is E_{π_θ} Q̄. Jensen's lower bound of the soft value, equal to it where π_θ is
    π_final. With a uniform prior and one sample it is the backup of soft actor-critic (Haarnoja et al. 2018b).
    """
    log_ratio = log_weight + math.log(log_weight.shape[-1])
    value = (q + log_ratio / beta.clamp_min(SMALLEST_BETA)).mean(-1)
    return torch.where(beta < SMALLEST_BETA, q.mean(-1), value)


def return_value(q: Tensor, log_weight: Tensor, beta: Tensor) -> Tensor:
    """E_{a'~π_θ} Q̄(s',a') on actions drawn from π_θ: its return, without −KL(π_θ ‖ π_BC)/β.

    Over an episode that price can exceed what a rare reward pays. Ball et al. 2023 leave the entropy out of the targets
    of soft actor-critic for such tasks.
    """
    return q.mean(-1)


def td_target(reward: Tensor, terminated: Tensor, next_value: Tensor, discount: Tensor) -> Tensor:
    """r + γ^k (1 − terminated) V(s'), where r is the discounted sum of k rewards and `discount` γ^k, (B,) or a scalar.

    Truncation is no termination: its next state is worth as much as any other.
    """
    return reward + discount * (1.0 - terminated) * next_value
