"""What a token's loss weighs when another program or older weights drew it: how likely the trainer makes it against the
sampler.

Engines round differently, up to whole units of log-probability for single tokens. The trainer's probability before the
update over the sampler's is the importance weight of the gap; left as it is, one token can outweigh a batch.
"""

from collections.abc import Callable

from torch import Tensor

from thinkwright.algorithms.tokens import LossTokens, sequence_sums

DEFAULT_CAP = 2.0
"""As truncation was published with (C = 2), and as GLM-5 sets the band (1/2 to 2)."""


def truncated_weights(tokens: LossTokens, cap: float) -> Tensor:
    """min(pi_old / pi_rollout, cap) for each token (N,): truncated importance sampling (Yao et al., 2025)."""
    return _log_weights(tokens).exp().clamp(max=cap)


def sequence_truncated_weights(tokens: LossTokens, cap: float) -> Tensor:
    """The same with the product over its completion for each token (N,): the unbiased form, of higher variance."""
    return sequence_sums(_log_weights(tokens), tokens.sequences).exp().clamp(max=cap)


def band_weights(tokens: LossTokens, cap: float) -> Tensor:
    """pi_old / pi_rollout for each token (N,), and 0 outside of 1 / cap to cap (IcePop, arXiv:2510.18855)."""
    ratio = _log_weights(tokens).exp()
    return ratio * ((ratio >= 1 / cap) & (ratio <= cap))


def _log_weights(tokens: LossTokens) -> Tensor:
    return tokens.old_logprobs - tokens.rollout_logprobs


Correction = Callable[[LossTokens, float], Tensor]
CORRECTIONS: dict[str, Correction] = {
    "truncate": truncated_weights,
    "truncate_sequence": sequence_truncated_weights,
    "band": band_weights,
}
"""By the name in the recipe."""
