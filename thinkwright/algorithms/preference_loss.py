"""Losses of reward models: pairs of responses, and single ones.

Both read raw scores, before any sigmoid; reduction is the mean over what is given, with the denominator passed in.
"""

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid


def pairwise_loss(chosen: Tensor, rejected: Tensor, count: int) -> Tensor:
    """-log sigmoid(s_chosen - s_rejected), summed over the pairs (P,) and divided by ``count``.

    Bradley-Terry as InstructGPT has it (Ouyang et al., arXiv:2203.02155, equation 1). Only differences matter, so the
    scores' origin is free.
    """
    return -logsigmoid(chosen - rejected).sum() / count


def pointwise_loss(scores: Tensor, labels: Tensor, count: int) -> Tensor:
    """Binary cross-entropy of sigmoid(score) against labels 0 or 1, both (B,), divided by ``count``.

    DeepSeek-R1's safety reward model is trained so (Nature 645, 633, section "Safety reward model").
    """
    return binary_cross_entropy_with_logits(scores, labels, reduction="sum") / count
