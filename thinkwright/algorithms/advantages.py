"""Advantages from the rewards of a step's groups: how much better a completion is than its prompt's others.

Every function takes ``rewards`` (P, G) in fp32 and ``is_counted`` (P, G) bool, and gives advantages (P, G). Members
left out of the baseline get advantage 0, and so does a group without variance: it teaches nothing.
"""

from collections.abc import Callable

import torch
from torch import Tensor

EPSILON = 1e-6


def group_std(rewards: Tensor, is_counted: Tensor) -> Tensor:
    """A_i = (R_i - mean) / std over the group (GRPO; DeepSeek-R1, equation 3). The population's standard deviation."""
    centered = _centered(rewards, is_counted)
    num = is_counted.float().sum(1, keepdim=True).clamp(min=1)
    return _divided(centered, (centered.square().sum(1, keepdim=True) / num).sqrt())


def group_mean(rewards: Tensor, is_counted: Tensor) -> Tensor:
    """A_i = R_i - mean: groups that are nearly all right or wrong weigh no more than others (Dr. GRPO,
    arXiv:2503.20783)."""
    return _with_variance(_centered(rewards, is_counted))


def batch_std(rewards: Tensor, is_counted: Tensor) -> Tensor:
    """(R_i - mean of the group) / std of these differences over the whole step (REINFORCE++ with baseline,
    arXiv:2501.03262). On rewards that were each normalised in their group first
    (``rewards.normalize = "per_reward"``) this is GDPO (arXiv:2601.05242)."""
    centered = group_mean(rewards, is_counted)
    return _divided(centered, _std_of(centered[is_counted]))


def batch_reward_std(rewards: Tensor, is_counted: Tensor) -> Tensor:
    """(R_i - mean of the group) / std of all rewards of the step (Lite PPO, arXiv:2508.08221)."""
    return _divided(group_mean(rewards, is_counted), _std_of(rewards[is_counted]))


def leave_one_out(rewards: Tensor, is_counted: Tensor) -> Tensor:
    """A_i = R_i - mean of the others (RLOO, arXiv:2402.14740): the baseline owes nothing to R_i."""
    num = is_counted.float().sum(1, keepdim=True)
    return group_mean(rewards, is_counted) * num / (num - 1).clamp(min=1)


def maximum_likelihood(rewards: Tensor, is_counted: Tensor) -> Tensor:
    """A_i = (R_i - mean) / mean, for rewards of 0 or 1: the gradient of log p(right) with as many terms as a group has
    members, so that hard prompts weigh 1 / p (MaxRL, arXiv:2602.02710). A group with mean 0 or less gets 0."""
    counted = is_counted.float()
    mean = (rewards * counted).sum(1, keepdim=True) / counted.sum(1, keepdim=True).clamp(min=1)
    return _divided(group_mean(rewards, is_counted), mean)


AdvantageFunction = Callable[[Tensor, Tensor], Tensor]
ADVANTAGES: dict[str, AdvantageFunction] = {
    "group_std": group_std,
    "group_mean": group_mean,
    "batch_std": batch_std,
    "batch_reward_std": batch_reward_std,
    "leave_one_out": leave_one_out,
    "maximum_likelihood": maximum_likelihood,
}
"""By the name in the recipe."""


def _centered(rewards: Tensor, is_counted: Tensor) -> Tensor:
    counted = is_counted.float()
    mean = (rewards * counted).sum(1, keepdim=True) / counted.sum(1, keepdim=True).clamp(min=1)
    return (rewards - mean) * counted


def _with_variance(centered: Tensor) -> Tensor:
    """Differences that are rounding alone become 0."""
    return centered * (centered.abs().amax(1, keepdim=True) > EPSILON)


def _std_of(values: Tensor) -> Tensor:
    """Of all of them, the population's; 0 of none."""
    return values.std(correction=0) if values.numel() else values.new_zeros(())


def _divided(centered: Tensor, scale: Tensor) -> Tensor:
    return torch.where(scale > EPSILON, centered / scale.clamp(min=EPSILON), torch.zeros_like(centered))
