"""Policy losses: what a token's loss is, and whether its gradient was taken away.

Every function takes ``LossTokens`` and its own settings by name, and gives each token's loss (N,) and a bool (N,). How
tokens become one number is for ``reductions.py``. On policy, where all three log-probabilities are the same, each of
them has the gradient of REINFORCE with a baseline, -A grad log pi (``sapo`` too, and ``gspo`` on the mean over a
completion).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from thinkwright.algorithms.tokens import LossTokens, sequence_means


def clipped(
    tokens: LossTokens, *, clip_low: float, clip_high: float, clip_dual: float | None = None
) -> tuple[Tensor, Tensor]:
    """-min(r A, clip(r, 1 - clip_low, 1 + clip_high) A) with the ratio r = pi / pi_old of each token (PPO; DeepSeek-R1,
    equation 1; bounds apart as DAPO, equation 8).

    ``clip_dual``: where A < 0 the loss is at most -clip_dual A, so that one token that has become far likelier cannot
    outweigh the batch (dual clip, arXiv:1912.09729).
    """
    return _clipped(tokens.ratio, tokens.advantages, clip_low, clip_high, clip_dual)


def sequence_clipped(tokens: LossTokens, *, clip_low: float, clip_high: float) -> tuple[Tensor, Tensor]:
    """As ``clipped``, with the geometric mean of a completion's ratios for each of its tokens (GSPO, arXiv:2507.18071):
    the whole completion is clipped or none of it."""
    ratio = sequence_means(tokens.logprobs - tokens.old_logprobs, tokens.sequences).exp()
    return _clipped(ratio, tokens.advantages, clip_low, clip_high, None)


def capped_weight(tokens: LossTokens, *, weight_cap: float) -> tuple[Tensor, Tensor]:
    """-sg(min(r, cap)) A log pi: the weight is clipped, and no token's gradient is lost (CISPO, arXiv:2506.13585)."""
    ratio = tokens.ratio.detach()
    return -ratio.clamp(max=weight_cap) * tokens.advantages * tokens.logprobs, ratio > weight_cap


def masked_by_change(tokens: LossTokens, *, max_change: float, weight_cap: float) -> tuple[Tensor, Tensor]:
    """-sg(min(r, cap)) A log pi with r = pi / pi_rollout, and nothing for tokens whose probability has already moved
    the advantage's way by more than ``max_change`` (DPPO with total variation, arXiv:2602.04879): a rare token may
    change by a factor, a sure one may not fall from 0.99 to 0.7."""
    change = tokens.logprobs.detach().exp() - tokens.rollout_logprobs.exp()
    is_masked = tokens.advantages.sign() * change > max_change
    weight = (tokens.logprobs.detach() - tokens.rollout_logprobs).exp().clamp(max=weight_cap)
    return -weight * tokens.advantages * tokens.logprobs * ~is_masked, is_masked


def policy_gradient(tokens: LossTokens) -> tuple[Tensor, Tensor]:
    """-A log pi: REINFORCE with the group's baseline, whatever has changed since the tokens were drawn (GPG,
    arXiv:2504.02546)."""
    return -tokens.advantages * tokens.logprobs, torch.zeros_like(tokens.advantages, dtype=torch.bool)


def soft_gate(tokens: LossTokens, *, gate_positive: float, gate_negative: float) -> tuple[Tensor, Tensor]:
    """-4 / t sigmoid(t (r - 1)) A: off-policy tokens fade instead of being cut, with the temperature t by the sign of A
    (SAPO, arXiv:2511.20347)."""
    temperature = torch.where(tokens.advantages > 0, gate_positive, gate_negative)
    gate = torch.sigmoid(temperature * (tokens.ratio - 1)) * 4 / temperature
    return -gate * tokens.advantages, torch.zeros_like(tokens.advantages, dtype=torch.bool)


PolicyLoss = Callable[..., tuple[Tensor, Tensor]]
POLICY_LOSSES: dict[str, PolicyLoss] = {
    "clip": clipped,
    "gspo": sequence_clipped,
    "cispo": capped_weight,
    "dppo": masked_by_change,
    "policy_gradient": policy_gradient,
    "sapo": soft_gate,
}
"""By the name in the recipe; their settings and defaults stand in ``config/algorithm.py``."""


def _clipped(ratio: Tensor, advantages: Tensor, low: float, high: float, dual: float | None) -> tuple[Tensor, Tensor]:
    unclipped = ratio * advantages
    bounded = ratio.clamp(1 - low, 1 + high) * advantages
    gain, is_clipped = torch.minimum(unclipped, bounded), bounded < unclipped
    if dual is not None:
        floor = dual * advantages
        is_under = (advantages < 0) & (gain < floor)
        gain, is_clipped = torch.where(is_under, floor, gain), is_clipped | is_under
    return -gain, is_clipped
