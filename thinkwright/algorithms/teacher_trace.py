"""The loss of a teacher's trace in a group of the policy's own completions (LUFFY, arXiv:2504.14945)."""

from torch import Tensor


def shaped_loss(logprobs: Tensor, advantages: Tensor, shaping: float) -> Tensor:
    """-A p / (p + shaping) of each token (N,), p = pi(token): no clip, since the teacher's own probability is not known
    and counts as 1. Its gradient, -A shaping / (p + shaping)^2 dp, is large where the policy finds a token unlikely,
    which imitation by p alone would hardly learn."""
    probs = logprobs.exp()
    return -advantages * probs / (probs + shaping)
