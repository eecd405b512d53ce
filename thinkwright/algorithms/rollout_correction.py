"""What a token's loss weighs when another program drew it: how likely the trainer makes it against that program.

Engines round differently, up to whole units of log-probability for single tokens. The trainer's probability before the
update over the sampler's is the importance weight of the gap; left as it is, one token can outweigh a batch.
"""

from collections.abc import Callable

from torch import Tensor

DEFAULT_CAP = 2.0
"""As truncation was published with (C = 2), and as GLM-5 sets the band (1/2 to 2)."""


def truncated_weights(old_logprobs: Tensor, rollout_logprobs: Tensor, cap: float) -> Tensor:
    """min(pi_old / pi_rollout, cap) for each token (N,): truncated importance sampling (Yao et al., 2025)."""
    return (old_logprobs - rollout_logprobs).exp().clamp(max=cap)


def band_weights(old_logprobs: Tensor, rollout_logprobs: Tensor, cap: float) -> Tensor:
    """pi_old / pi_rollout for each token (N,), and 0 outside of 1 / cap to cap (IcePop, arXiv:2510.18855)."""
    ratio = (old_logprobs - rollout_logprobs).exp()
    return ratio * ((ratio >= 1 / cap) & (ratio <= cap))


CORRECTIONS: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "truncate": truncated_weights,
    "band": band_weights,
}
"""By the name in the recipe."""
