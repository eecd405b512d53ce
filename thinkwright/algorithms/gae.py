"""Advantages of single tokens from a critic's estimates: what PPO has in place of the group."""

import torch
from torch import Tensor

from thinkwright.algorithms.advantages import EPSILON


def generalized_advantages(rewards: Tensor, values: Tensor, sequences: Tensor, gae_lambda: float) -> Tensor:
    """A_t = sum over l of lambda^l delta_{t+l} (N,), delta_t = V_{t+1} - V_t, at the last token R - V_t (GAE,
    arXiv:1506.02438, undiscounted, with the whole reward at the end). With lambda = 1 this is R - V_t.

    ``rewards`` (S,) of the completions; ``values`` (N,) are V_t, what the critic expects before token t is drawn;
    ``sequences`` (N,) which completion, those of one side by side.
    """
    if len(values) == 0:
        return torch.zeros_like(values)
    is_last = torch.ones_like(sequences, dtype=torch.bool)
    is_last[:-1] = sequences[1:] != sequences[:-1]
    following = torch.where(is_last, rewards[sequences], values.roll(-1))
    lengths = torch.bincount(sequences)
    places = torch.arange(len(values), device=values.device) - (lengths.cumsum(0) - lengths)[sequences]
    table = values.new_zeros(len(rewards), int(lengths.max()))
    table[sequences, places] = following - values
    for place in range(table.shape[1] - 2, -1, -1):
        table[:, place] += gae_lambda * table[:, place + 1]
    return table[sequences, places]


def whitened(advantages: Tensor, is_counted: Tensor) -> Tensor:
    """(A - mean) / std over the counted tokens of a step, as PPO's programs do; 0 for the others."""
    counted = advantages[is_counted]
    scale = counted.std(correction=0) if counted.numel() else advantages.new_ones(())
    return torch.where(is_counted, (advantages - counted.mean()) / scale.clamp(min=EPSILON), 0.0)
