"""π_final(a|s) ∝ π_BC(a|s) · exp(β Q(s,a)) on weighted actions, and what is measured on them.

Everywhere `q` is (B, N), `log_weight` (B, N) with weights of π_BC that sum to 1, and `beta` a scalar.
"""

from torch import Tensor


def log_composed(q: Tensor, log_weight: Tensor, beta: Tensor) -> Tensor:
    """log π_final of the weighted actions: log w_i + β Q_i − log Z, with Z = Σ_i w_i exp(β Q_i). (B, N)."""
    return (log_weight + beta * q).log_softmax(-1)


def kl_from_prior(q: Tensor, log_weight: Tensor, beta: Tensor) -> Tensor:
    """KL(π_final ‖ π_BC) = E_{π_final}[β Q] − log Z in nats, on the weighted actions: (B,)."""
    log_final = log_composed(q, log_weight, beta)
    return (log_final.exp() * (log_final - log_weight)).sum(-1)


def prior_variance(q: Tensor, log_weight: Tensor) -> Tensor:
    """The variance of Q(s,a) over a ~ π_BC, on weighted actions: (B,).

    To second order KL(π_final ‖ π_BC) = ½ β² Var Q, so that β in units of its root means the same for rewards
    of any scale.
    """
    weight = log_weight.exp()
    mean = (weight * q).sum(-1, keepdim=True)
    return (weight * (q - mean).square()).sum(-1)


def sample_variance(q: Tensor, log_weight: Tensor) -> Tensor:
    """The same on actions that are a sample: divided by 1 − Σ w_i², it has no bias where all weights are 1/N. (B,)."""
    return prior_variance(q, log_weight) / (1.0 - (2.0 * log_weight).exp().sum(-1)).clamp_min(1e-6)


def correction_kl(correction: Tensor, width: float) -> Tensor:
    """KL(N(b + δ, σ²) ‖ N(b, σ²)) = |δ|² / 2σ² in nats, of corrections δ (..., d) and a width σ: (...,).

    Its mean over b ~ π_BC bounds that of the two mixtures over b, for the KL divergence is jointly convex.
    """
    return 0.5 * (correction / width).square().sum(-1)


def effective_sample_share(q: Tensor, log_weight: Tensor, beta: Tensor) -> Tensor:
    """1 / Σ_i p_i² / w_i ∈ (0, 1], where p is π_final: (B,). With equal weights, the effective sample size over N."""
    log_final = log_composed(q, log_weight, beta)
    return (-(2.0 * log_final - log_weight).logsumexp(-1)).exp()
