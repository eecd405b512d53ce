"""Ways to keep a policy's entropy from falling: which tokens are learned from, and what is held back.

Entropy falls by the covariance of log-probability and advantage, which few tokens make up (arXiv:2505.22617).
"""

from random import Random

import torch
from torch import Tensor


def covariances(old_logprobs: Tensor, advantages: Tensor, is_counted: Tensor) -> Tensor:
    """(log pi_old - mean) (A - mean) of each token (N,), means over the update's counted tokens; others get -inf
    (arXiv:2505.22617, with the policy as it was before the update)."""
    num = is_counted.sum().clamp(min=1)
    centered = [value - (value * is_counted).sum() / num for value in (old_logprobs, advantages)]
    return torch.where(is_counted, centered[0] * centered[1], -torch.inf)


def largest(values: Tensor, share: float) -> Tensor:
    """Whether a value is among the largest of that share (N,); one at least. Infinities do not count."""
    num_finite = int(values.isfinite().sum())
    count = min(num_finite, max(1, round(share * num_finite)))
    found = torch.zeros_like(values, dtype=torch.bool)
    found[values.topk(count).indices] = True
    return found


def drawn_within(values: Tensor, low: float, high: float, share: float, seed: str) -> Tensor:
    """Some of the values between ``low`` and ``high`` (N,), drawn at random, at most that share of all finite ones
    (Clip-Cov, arXiv:2505.22617)."""
    inside = ((values >= low) & (values <= high)).nonzero()[:, 0]
    count = min(len(inside), max(1, round(share * int(values.isfinite().sum()))))
    found = torch.zeros_like(values, dtype=torch.bool)
    found[inside[Random(seed).sample(range(len(inside)), count)]] = True
    return found
