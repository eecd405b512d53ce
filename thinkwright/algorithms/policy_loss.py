"""The clipped policy-gradient loss and how per-token losses become one number."""

from collections.abc import Callable

import torch
from torch import Tensor


def clipped_policy_loss(
    policy_logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, clip_low: float, clip_high: float
) -> tuple[Tensor, Tensor]:
    """Per-token loss -min(r A, clip(r, 1 - clip_low, 1 + clip_high) A), and whether the clip took the gradient away.

    DeepSeek-R1, equation 1, with the ratio r = pi / pi_old per token and separate bounds (DAPO, equation 8). All
    arguments and both results have shape (N,), one entry per completion token.
    """
    ratio = torch.exp(policy_logprobs - old_logprobs)
    unclipped = ratio * advantages
    clipped = ratio.clamp(1 - clip_low, 1 + clip_high) * advantages
    return -torch.minimum(unclipped, clipped), clipped < unclipped


def token_mean(per_token: Tensor, lengths: Tensor, num_tokens: int, num_sequences: int) -> Tensor:
    """Sum over tokens divided by the update's ``num_tokens``: every token weighs the same (DAPO, equation 8)."""
    return per_token.sum() / num_tokens


def sequence_mean(per_token: Tensor, lengths: Tensor, num_tokens: int, num_sequences: int) -> Tensor:
    """Mean within each completion, then over the update's ``num_sequences`` (DeepSeekMath, equation 3).

    ``per_token`` (N,) holds completions one after the other, ``lengths`` (S,) says how long each is.
    """
    return (per_token / torch.repeat_interleave(lengths, lengths)).sum() / num_sequences


REDUCTIONS: dict[str, Callable[[Tensor, Tensor, int, int], Tensor]] = {
    "token_mean": token_mean,
    "sequence_mean": sequence_mean,
}
"""By the name in the recipe. The denominators are the whole update's, so micro-batches do not change the gradient."""
