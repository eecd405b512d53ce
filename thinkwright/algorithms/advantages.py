"""Advantages from the rewards of a group."""

import torch
from torch import Tensor

EPSILON = 1e-6


def group_normalized_advantages(rewards: Tensor, is_counted: Tensor) -> Tensor:
    """A_i = (R_i - mean) / std over the counted members of each group (DeepSeek-R1, section 2.2.1, equation 3).

    ``rewards`` (P, G) in fp32; ``is_counted`` (P, G) bool: members left out of the baseline get advantage 0. The
    standard deviation is the population's. A group without variance gets advantage 0 throughout.
    """
    counted = is_counted.float()
    num = counted.sum(1, keepdim=True).clamp(min=1)
    centered = (rewards - (rewards * counted).sum(1, keepdim=True) / num) * counted
    std = (centered.square().sum(1, keepdim=True) / num).sqrt()
    return torch.where(std > EPSILON, centered / std.clamp(min=EPSILON), torch.zeros_like(centered))
